// Writes `.nac` files of the short and the archive profile.
import { crc32, integer, varint } from "./bytes.js";
import { writeHeader } from "./header.js";
import { encodePacket } from "./packet.js";

const PACKET_S = 2;
const GROUP = 16;

/**
 * Write a file.
 *
 * @param {Int32Array} codes `[channels, codebooks, frames]`
 * @param {object} recording `channels`, `codebooks` and `frames`, and `samples` per channel, at the rate of the model
 * @param {object} constants of the model
 * @param {Tables} tables of the model
 * @returns {Uint8Array} the content of the file
 */
export function writeNac(codes, recording, constants, tables) {
  const { channels, codebooks, frames, samples } = recording;
  const packetFrames = Math.min(255, Math.max(1, Math.round((PACKET_S * constants.sample_rate) / constants.latent_hop)));
  const isShort = frames <= 255 && 100 * frames <= 255 * packetFrames;
  const head = writeHeader({
    ...recording,
    fingerprint: constants.fingerprint,
    sampleRate: constants.sample_rate,
    modelRate: constants.sample_rate,
    latentHop: constants.latent_hop,
    bitsPerCode: constants.bits_per_code,
    samples,
    packetFrames: isShort ? 0 : packetFrames,
  });
  const payload = (first, count) => {
    const part = new Int32Array(channels * codebooks * count);
    for (let row = 0; row < channels * codebooks; row++) part.set(codes.subarray(row * frames + first, row * frames + first + count), row * count);
    return encodePacket(part, tables, recording, count);
  };
  if (isShort) return withChecksum(head, frames ? payload(0, frames) : []);
  const packets = [];
  for (let first = 0; first < frames; first += packetFrames) {
    const content = payload(first, Math.min(packetFrames, frames - first)), body = Uint8Array.from([...varint(content.length), ...content]);
    packets.push(Uint8Array.from([...body, ...integer((crc32(body) + packets.length) % 2 ** 32, 4)]));
  }
  return join([withChecksum(head, []), ...packets, ...(packets.length > GROUP ? [index(packets)] : [])]);
}

function index(packets) {
  const sizes = [];
  for (let first = 0; first < packets.length; first += GROUP) {
    sizes.push(...integer(packets.slice(first, first + GROUP).reduce((sum, packet) => sum + packet.length, 0), 4));
  }
  return withChecksum(sizes, []);
}

function withChecksum(head, rest) {
  const bytes = Uint8Array.from([...head, ...rest]);
  return Uint8Array.from([...bytes, ...integer(crc32(bytes), 4)]);
}

function join(parts) {
  const made = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  parts.reduce((at, part) => (made.set(part, at), at + part.length), 0);
  return made;
}
