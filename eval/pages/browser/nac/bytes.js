// Bytes of a `.nac` file: varints, CRC-32 and errors. The format is docs/bitstream.md.

/** A file that cannot be read; the message is for the user. */
export class NacError extends Error {}

/** Reads numbers from bytes, from a position on, up to an end. */
export class Cursor {
  constructor(bytes, position = 0, end = bytes.length) {
    this.bytes = bytes;
    this.position = position;
    this.end = end;
  }

  /** Take bytes without a copy. */
  take(count) {
    if (count > this.end - this.position) throw new NacError("the file ends too early");
    this.position += count;
    return this.bytes.subarray(this.position - count, this.position);
  }

  /** An unsigned integer of a fixed number of bytes, little-endian. */
  integer(count) {
    return safe(this.take(count).reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n));
  }

  /** A varint of at most `most` bytes. */
  varint(most = 9) {
    let value = 0n;
    for (let i = 0; i < most; i++) {
      const byte = this.take(1)[0];
      value |= BigInt(byte & 127) << BigInt(7 * i);
      if (byte < 128) return safe(value);
    }
    throw new NacError("a number has too many bytes");
  }
}

function safe(value) {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new NacError("a number is too large for this program");
  return Number(value);
}

/** The bytes of a varint, as few as possible or `size`. */
export function varint(value, size = 0) {
  const bytes = [];
  for (let rest = BigInt(value); rest || bytes.length < Math.max(size, 1); rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  bytes[bytes.length - 1] &= 127;
  return bytes;
}

/** The bytes of an unsigned integer, little-endian. */
export function integer(value, count) {
  return Array.from({ length: count }, (_, i) => Number((BigInt(value) >> BigInt(8 * i)) & 255n));
}

export const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, value) => {
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

/** CRC-32 of bytes from `start` to `end`. */
export function crc32(bytes, start = 0, end = bytes.length) {
  let crc = 0xffffffff;
  for (let i = start; i < end; i++) crc = (crc >>> 8) ^ CRC_TABLE[(crc ^ bytes[i]) & 255];
  return (crc ^ 0xffffffff) >>> 0;
}

/** The unsigned integer of 4 bytes at a position. */
export function word(bytes, position) {
  return (bytes[position] | (bytes[position + 1] << 8) | (bytes[position + 2] << 16) | (bytes[position + 3] << 24)) >>> 0;
}
