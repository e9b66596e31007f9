// The start of a `.nac` file, in format versions 1 to 3: header, tags and pictures.
import { Cursor, NacError, crc32, integer, varint, word } from "./bytes.js";
import { repairs } from "./byte_repair.js";

export const PROFILES = ["short", "archive", "live"];
export const RATES = [
  0, 8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000, 128000, 176400, 192000,
];
const MAGIC = [0x89, 0x4e, 0x41, 0x43];
const LONGEST = 80;
const LONGEST_REPAIRED_FILE = 4096;

/**
 * Read the start of a file. A single damaged byte is repaired.
 *
 * @returns {{header, bytes: Uint8Array, start: number, repaired: boolean, tags: Map<string, string[]>, pictures: Array}}
 *   `bytes` are those of the file, with the repaired byte; `start` is where the packets, frames or payload begin.
 */
export function readStart(bytes) {
  try {
    return parse(bytes, false);
  } catch (error) {
    if (!(error instanceof NacError) || error.final) throw error;
    const found = [...repairedFiles(bytes)];
    if (found.length === 1) return found[0];
    throw error;
  }
}

function parse(bytes, repaired) {
  if (bytes.length < 5 || (!repaired && MAGIC.filter((byte, i) => bytes[i] === byte).length < 3)) {
    throw Object.assign(new NacError("not a .nac file"), { final: true });
  }
  if (MAGIC.some((byte, i) => bytes[i] !== byte)) throw new NacError("not a .nac file");
  const version = bytes[4] & 15;
  if (bytes[4] === 1 || bytes[4] === 2) return parseOld(bytes, bytes[4], repaired);
  if (version !== 3) throw new NacError(`format version ${version} is not known here; versions 1 to 3 are`);
  const cursor = new Cursor(bytes);
  const header = readHeader(cursor);
  const length = cursor.position;
  if (header.profile === "short") {
    checkCrc(bytes, 0, bytes.length - 4);
    const payload = bytes.length - 4 - length;
    if (header.frames ? payload < 1 : payload !== 0) throw new NacError("the file is damaged");
    return { header, bytes, start: length, repaired, tags: new Map(), pictures: [] };
  }
  checkCrc(bytes, 0, length);
  const start = length + 4;
  const blocks = readBlocks(bytes, start, Math.min(start + header.blockBytes, bytes.length));
  return { header, bytes, start: start + header.blockBytes, repaired, ...blocks };
}

function* repairedFiles(bytes) {
  const attempt = function* (whole) {
    try {
      yield parse(whole, true);
    } catch (error) {
      if (!(error instanceof NacError)) throw error;
    }
  };
  if (bytes.length <= LONGEST_REPAIRED_FILE) {
    for (const copy of repairs(bytes)) {
      for (const found of attempt(copy)) if (found.header.profile === "short") yield found;
    }
  }
  for (let length = 16; length <= Math.min(LONGEST, bytes.length); length++) {
    for (const copy of repairs(bytes.subarray(0, length))) {
      const whole = bytes.slice();
      whole.set(copy);
      for (const found of attempt(whole)) if (found.header.profile !== "short" && found.header.bytes === length) yield found;
    }
  }
}

function checkCrc(bytes, start, end) {
  if (end + 4 > bytes.length || end < start) throw new NacError("the file ends too early");
  if (crc32(bytes, start, end) !== word(bytes, end)) throw new NacError("the header is damaged");
}

function readHeader(cursor) {
  cursor.take(4);
  const flags = cursor.take(1)[0];
  const header = { version: 3, profile: PROFILES[(flags >> 4) & 3], variable: (flags & 64) !== 0 };
  if (!header.profile) throw new NacError("the profile of this file is not known here");
  header.fingerprint = hex(cursor.take(4));
  const rates = cursor.take(1)[0];
  const model = cursor.integer(2);
  [header.codebooks, header.bitsPerCode] = cursor.take(2);
  header.sampleRate = RATES[rates & 15] || cursor.varint();
  header.channels = rates >> 4 || cursor.varint();
  header.modelRate = RATES[model & 15] || cursor.varint();
  header.latentHop = model >> 4 || cursor.varint();
  const rate = cursor.varint();
  header.bitRate = rate % 2 ? (rate - 1) / 2 : (rate / 2) * 50;
  header.blockBytes = flags & 128 ? cursor.varint() : 0;
  if (flags & 128 && header.profile === "short") throw new NacError("a short file with blocks");
  if (header.blockBytes > 2 ** 26) throw new NacError("more than 64 MiB of tags and pictures");
  if (header.profile === "live") {
    header.packetFrames = 1;
  } else {
    const samples = cursor.varint();
    header.samples = Math.floor(samples / 2);
    header.frames = header.samples ? Math.floor(modelSamples(header) / header.latentHop) + 1 + (samples % 2) : 0;
    header.packetFrames = header.profile === "archive" ? cursor.take(1)[0] : Math.max(1, header.frames);
  }
  if (header.profile === "short" && header.frames > 255) throw new NacError("a short file with more than 255 frames");
  header.bytes = cursor.position + (header.profile === "short" ? 0 : 4);
  checkRanges(header);
  return header;
}

function checkRanges(header) {
  const within = (value, least, most) => value >= least && value <= most;
  const good = within(header.sampleRate, 1000, 768000) && within(header.modelRate, 1000, 768000)
    && within(header.channels, 1, 255) && within(header.latentHop, 1, 65535) && within(header.bitsPerCode, 1, 24)
    && within(header.codebooks, 1, header.profile === "live" && header.version === 3 ? 254 : 255)
    && within(header.packetFrames, 1, 255);
  if (!good) throw new NacError("a field of the header is out of range");
  if (header.profile !== "live") checkSamples(header);
}

/** Check that the numbers of samples and of frames agree. */
export function checkSamples(header) {
  if (!header.frames && !header.samples) return;
  const samples = modelSamples(header), reach = header.frames * header.latentHop;
  if (reach <= samples || reach >= samples + 2 * header.latentHop) throw new NacError("numbers of samples and frames disagree");
}

/** Samples per channel at the rate of the model. */
export function modelSamples({ samples, modelRate, sampleRate }) {
  const product = samples * modelRate;
  if (!Number.isSafeInteger(product)) throw new NacError("the recording is too long for this program");
  return Math.ceil(product / sampleRate);
}

function parseOld(bytes, version, repaired) {
  const cursor = new Cursor(bytes, 5);
  if (version === 1 && repaired) throw new NacError("headers of version 1 are not repaired");
  const flags = cursor.integer(1), headerBytes = cursor.integer(2);
  if (flags > (version === 1 ? 0 : 3)) throw new NacError("the header is damaged");
  const header = { version, variable: (flags & 1) !== 0, profile: flags & 2 ? "live" : "archive" };
  header.fingerprint = hex(cursor.take(8));
  [header.sampleRate, header.modelRate, header.latentHop] = [cursor.integer(4), cursor.integer(4), cursor.integer(4)];
  [header.samples, header.frames] = [cursor.integer(8), cursor.integer(8)];
  [header.channels, header.codebooks, header.bitsPerCode, header.packetFrames] = cursor.take(4);
  if (version === 2) [header.receptiveField, header.bitRate] = [cursor.integer(2), cursor.integer(4)];
  checkCrc(bytes, 0, cursor.position);
  header.bytes = cursor.position + 4;
  header.blockBytes = 0;
  checkRanges(header);
  const tags = new Map();
  if (version === 2 && headerBytes > header.bytes && headerBytes <= bytes.length) {
    const end = headerBytes - 4;
    if (crc32(bytes, header.bytes, end) === word(bytes, end)) {
      const text = new TextDecoder().decode(bytes.subarray(header.bytes, end));
      for (const [name, value] of Object.entries(JSON.parse(text))) tags.set(name, value.split("\0"));
    }
  }
  return { header, bytes, start: version === 2 ? headerBytes : header.bytes, repaired, tags, pictures: [] };
}

function readBlocks(bytes, start, end) {
  const tags = new Map(), pictures = [], cursor = new Cursor(bytes, start, end);
  while (cursor.position < end) {
    const first = cursor.position;
    let kind, content;
    try {
      kind = cursor.take(1)[0];
      content = cursor.take(cursor.varint());
      const covered = cursor.position;
      if (crc32(bytes, first, covered) !== cursor.integer(4)) continue;
      if (kind === 1) readTags(content, tags);
      if (kind === 2 && pictures.length < 64) pictures.push(readPicture(content));
    } catch (error) {
      if (error instanceof NacError) break;
      throw error;
    }
    if (kind >= 128) throw Object.assign(new NacError("this file needs a newer version of this program"), { final: true });
  }
  return { tags, pictures };
}

function readTags(content, tags) {
  const cursor = new Cursor(content);
  while (cursor.position < content.length) {
    const text = new TextDecoder().decode(cursor.take(cursor.varint()));
    const [name] = text.split("=", 1);
    tags.set(name, [...(tags.get(name) ?? []), text.slice(name.length + 1)]);
  }
}

function readPicture(content) {
  const cursor = new Cursor(content), text = () => new TextDecoder().decode(cursor.take(cursor.varint()));
  return { type: cursor.take(1)[0], mediaType: text(), description: text(), image: content.subarray(cursor.position) };
}

function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The bytes of a header of version 3, without its checksum; of an archive if there are `packetFrames`, else short. */
export function writeHeader({ fingerprint, sampleRate, channels, modelRate, latentHop, codebooks, bitsPerCode, samples, frames, packetFrames }) {
  const number = (rate) => Math.max(0, RATES.indexOf(rate));
  const inline = { channels: channels < 16 ? channels : 0, hop: latentHop < 4096 ? latentHop : 0 };
  const more = frames ? frames - 1 - Math.floor(modelSamples({ samples, modelRate, sampleRate }) / latentHop) : 0;
  return [
    ...MAGIC, 3 | (packetFrames ? 16 : 0), ...fingerprint.slice(0, 8).match(/../g).map((pair) => parseInt(pair, 16)),
    number(sampleRate) | (inline.channels << 4), ...integer(number(modelRate) | (inline.hop << 4), 2), codebooks, bitsPerCode,
    ...(number(sampleRate) ? [] : varint(sampleRate)), ...(inline.channels ? [] : varint(channels)),
    ...(number(modelRate) ? [] : varint(modelRate)), ...(inline.hop ? [] : varint(latentHop)),
    ...varint(0), ...varint(2 * samples + more), ...(packetFrames ? [packetFrames] : []),
  ];
}
