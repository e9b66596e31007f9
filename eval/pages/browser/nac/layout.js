// Where the packets of a file are, and which are lost: packets, index and the search behind damage.
import { Cursor, NacError, crc32, integer, word } from "./bytes.js";

const GROUP = 16;
/** Packets that can be missing without a trace, and bytes that stand for one more. */
const UNTRACED = 64;
/** The search behind damage ends after as many bytes. */
const SEARCH_BUDGET = 4 << 20;

/**
 * Find the packets of a file of the archive profile.
 *
 * @param {Uint8Array} bytes of the file
 * @param {object} header
 * @param {number} start where the first packet starts
 * @param {number} symbols most symbols of a packet
 * @returns {{packets: Map<number, Uint8Array>, truncatedAt: number | null}} the payloads of the packets that are not lost,
 *   by number, and the number of the packet from which the file is truncated
 */
export function findPackets(bytes, header, start, symbols) {
  const count = Math.ceil(header.frames / header.packetFrames);
  const packets = new Map();
  if (header.version === 1) return readVersion1(bytes, start, count, packets);
  const index = readIndex(bytes, start, count, header.version);
  const search = { bytes, longest: 4 * (symbols + 2), budget: SEARCH_BUDGET };
  let truncatedAt = null;
  const groups = index ? index.starts.length : 1;
  const tail = index || (header.version === 3 && count <= GROUP) ? 0 : indexBytes(count); // bytes behind the last packet
  for (let group = 0; group < groups; group++) {
    const range = index
      ? { position: index.starts[group], end: index.starts[group + 1] ?? index.end, first: group * GROUP, last: Math.min(count, (group + 1) * GROUP) }
      : { position: start, end: bytes.length, first: 0, last: count };
    const reached = readRange(search, range, packets, index !== null, tail);
    if (reached < range.last && group === groups - 1) truncatedAt = reached;
  }
  return { packets, truncatedAt };
}

/** Read consecutive packets; returns the number of the first that is not there, or `last`. */
function readRange(search, { position, end, first, last }, packets, indexed, tail) {
  let number = first;
  while (number < last) {
    const packet = readPacket(search, position, end);
    if (packet && packet.number === number) {
      packets.set(number++, packet.payload);
      position = packet.end;
      continue;
    }
    const skipped = lengthAt(search, position, end);
    const isNext = skipped && (number + 1 === last ? end - skipped.end === tail : readPacket(search, skipped.end, end)?.number === number + 1);
    if (isNext) {
      position = skipped.end;
      number++;
      continue;
    }
    const found = findNext(search, position, end, number, last, indexed);
    if (!found) return number;
    ({ position, number } = found);
  }
  return number;
}

function findNext(search, position, end, lost, last, indexed) {
  for (let at = position; at < end && search.budget > 0; at++) {
    const packet = readPacket(search, at, end);
    if (!packet || packet.number <= lost || packet.number >= last) continue;
    if (!indexed && packet.number > lost + UNTRACED + Math.floor((at - position) / 64)) continue;
    if (at === position && packet.number + 1 < last && readPacket(search, packet.end, end)?.number !== packet.number + 1) continue;
    return { position: at, number: packet.number };
  }
  return null;
}

function lengthAt(search, position, end) {
  try {
    const cursor = new Cursor(search.bytes, position, end);
    const length = cursor.varint(4);
    const start = cursor.position;
    if (length < 1 || length > search.longest || start + length + 4 > end) return null;
    return { start, end: start + length + 4 };
  } catch (error) {
    if (error instanceof NacError) return null;
    throw error;
  }
}

/** The packet at a position, if its bytes are one, whatever its number. */
function readPacket(search, position, end) {
  const place = lengthAt(search, position, end);
  if (!place) return null;
  const covered = place.end - 4;
  search.budget -= place.end - position > 4096 ? (place.end - position) >> 4 : 0;
  const number = (word(search.bytes, covered) - crc32(search.bytes, position, covered)) >>> 0;
  return { number, payload: search.bytes.subarray(place.start, covered), end: place.end };
}

const indexBytes = (count) => 4 * Math.ceil(count / GROUP) + 4;

function readIndex(bytes, start, count, version) {
  if (count <= GROUP && version === 3) return null;
  const groups = Math.ceil(count / GROUP), end = bytes.length - indexBytes(count);
  if (end < start || crc32(bytes, end, bytes.length - 4) !== word(bytes, bytes.length - 4)) return null;
  const starts = [start];
  for (let group = 0; group < groups; group++) starts.push(starts[group] + word(bytes, end + 4 * group));
  return starts.pop() === end ? { starts, end } : null;
}

function readVersion1(bytes, start, count, packets) {
  let position = start, number = 0, lost = false;
  for (; number < count; number++) {
    const packet = readPacket1(bytes, position, number);
    if (!packet || (lost && !packet.intact)) break;
    if (packet.intact) packets.set(number, packet.payload);
    lost = !packet.intact;
    position = packet.end;
  }
  const truncatedAt = lost && !(number === count && position === bytes.length) ? number - 1 : number;
  return { packets, truncatedAt: truncatedAt < count ? truncatedAt : null };
}

function readPacket1(bytes, position, number) {
  const length = position + 8 <= bytes.length ? word(bytes, position) : 0, end = position + 8 + length;
  if (length < 1 || end > bytes.length) return null;
  const payload = bytes.subarray(position + 8, end);
  const covered = Uint8Array.from([...integer(number, 8), ...integer(length, 4), ...payload]);
  return { payload, end, intact: crc32(covered) === word(bytes, position + 4) };
}
