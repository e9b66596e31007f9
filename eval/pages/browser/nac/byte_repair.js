// Repair of a single damaged byte: CRC-32 is linear, so that the error in it shows which change of one byte causes it.
import { CRC_TABLE, crc32, word } from "./bytes.js";

const BY_TOP_BYTE = new Uint8Array(256);
CRC_TABLE.forEach((value, byte) => { BY_TOP_BYTE[value >>> 24] = byte; });

/**
 * Every copy of `bytes`, with one byte changed, whose last 4 bytes are the CRC-32 of the others. There are none if
 * the checksum is right as it is.
 */
export function* repairs(bytes) {
  const end = bytes.length - 4;
  let error = (crc32(bytes, 0, end) ^ word(bytes, end)) >>> 0;
  if (error === 0) return;
  const changed = (position, change) => {
    const copy = bytes.slice();
    copy[position] ^= change;
    return copy;
  };
  for (let i = 0; i < 4; i++) if ((error & ~(255 << (8 * i))) === 0) yield changed(end + i, error >>> (8 * i));
  for (let position = end - 1; position >= 0; position--) {
    const byte = BY_TOP_BYTE[error >>> 24]; // the only one whose table entry has this top byte
    if (CRC_TABLE[byte] === error) yield changed(position, byte);
    error = ((((error ^ CRC_TABLE[byte]) << 8) >>> 0) | byte) >>> 0; // as it was before one more byte of 0
  }
}
