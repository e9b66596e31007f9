// Frames of the live profile: codes of fixed width, each frame with a checksum, and the end of the stream.
import { NacError, crc32, word } from "./bytes.js";
import { NO_CODE } from "./packet.js";

const END_BYTES = 21;
const MOST_LOST = 256;

/**
 * Read the frames of a stream.
 *
 * @returns {{frames: (Int32Array | null)[], end: {samples: number, frames: number} | null, truncated: boolean}} codes
 *   `[channels * codebooks]` of each frame, null for a lost one; what the end of the stream says, if it has one
 */
export function readLive(bytes, header, start, size) {
  const frames = [];
  let position = start, told = readEnd(bytes, Math.max(start, bytes.length - END_BYTES));
  while (told === null || frames.length < told.frames) {
    if (position >= bytes.length) break;
    const at = readAt(bytes, header, position, size);
    if (at?.ended && at.ended.frames >= frames.length) {
      told ??= at.ended;
      position = at.end;
    } else if (at?.check !== undefined && isNumber(at, frames.length)) {
      frames.push(at.codes);
      position = at.end;
    } else {
      const found = search(bytes, header, position, frames.length, size);
      if (!found) break;
      while (frames.length < found.number) frames.push(null);
      position = found.position;
    }
  }
  const truncated = told === null || frames.length < told.frames;
  return { frames, end: told, truncated };
}

const isNumber = (at, number) => at.check === (number & 65535);

/** Two intact frames with consecutive numbers, or an intact frame and the end, behind frame `lost`. */
function search(bytes, header, position, lost, size) {
  for (let at = position; at < bytes.length; at++) {
    const found = readAt(bytes, header, at, size);
    if (!found) continue;
    if (found.ended) {
      if (found.ended.frames >= lost && found.ended.frames <= lost + MOST_LOST) return { position: at, number: found.ended.frames };
      continue;
    }
    const ahead = (found.check - lost) & 65535;
    if (ahead > MOST_LOST) continue;
    const following = readAt(bytes, header, found.end, size), number = lost + ahead;
    if (following?.ended ? following.ended.frames >= number + 1 : following && isNumber(following, number + 1)) return { position: at, number };
  }
  return null;
}

/** What starts at a position: the end of the stream, or a frame, whatever its number. */
function readAt(bytes, { channels, codebooks, bitsPerCode }, position, size) {
  if (bytes[position] === 255) {
    const ended = readEnd(bytes, position);
    return ended && { ended, end: position + END_BYTES };
  }
  let codes = 0;
  for (let channel = 0; channel < channels; channel++) {
    const count = bytes[position + channel];
    if (!(count <= codebooks)) return null;
    codes += count;
  }
  const end = position + channels + Math.ceil((codes * bitsPerCode) / 8) + 2;
  if (end > bytes.length) return null;
  const check = ((bytes[end - 2] | (bytes[end - 1] << 8)) - crc32(bytes, position, end - 2)) & 65535;
  const made = new Int32Array(channels * codebooks).fill(NO_CODE);
  let bit = 8 * (position + channels);
  for (let channel = 0; channel < channels; channel++) {
    for (let codebook = 0; codebook < bytes[position + channel]; codebook++) {
      let code = 0;
      for (let i = 0; i < bitsPerCode; i++, bit++) code |= ((bytes[bit >> 3] >> (bit & 7)) & 1) << i;
      if (code >= size) return null;
      made[channel * codebooks + codebook] = code;
    }
  }
  return { check, codes: made, end };
}

function readEnd(bytes, position) {
  const end = position + END_BYTES;
  if (bytes[position] !== 255 || end > bytes.length || crc32(bytes, position, end - 4) !== word(bytes, end - 4)) return null;
  const samples = integer64(bytes, position + 1), frames = integer64(bytes, position + 9);
  if (frames > MOST_LOST + bytes.length) throw new NacError("the end of the stream contradicts its start");
  return { samples, frames };
}

function integer64(bytes, position) {
  return word(bytes, position) + word(bytes, position + 4) * 2 ** 32;
}
