// Writes `.nac` files of a bit rate: with as many codebooks of every frame as fit.
import { NacFile } from "./nac_file.js";
import { writeNac } from "./writer.js";

/**
 * Write a file of at most a bit rate; with one codebook if none fits.
 *
 * @param {Int32Array} codes `[channels, codebooks, frames]`
 * @param {object} recording as for `writeNac`
 * @param {object} constants of the model
 * @param {Tables} tables of the model
 * @param {number} kbps kbit/s of the file, all channels together
 * @returns {Uint8Array} the content of the file
 */
export function writeNacWithin(codes, recording, constants, tables, kbps) {
  const seconds = recording.samples / constants.sample_rate;
  const rate = (bytes) => (8 * bytes.length) / 1000 / seconds;
  let bytes = writeNac(codes, recording, constants, tables), { codebooks } = recording;
  if (!seconds || rate(bytes) <= kbps) return bytes;
  const rates = new NacFile(bytes, () => ({ constants, tables })).kbps(), whole = rate(bytes) / rates.at(-1);
  codebooks = Math.min(codebooks - 1, Math.max(1, rates.filter((each) => each * whole <= kbps).length) + 1);
  for (; codebooks >= 1; codebooks--) {
    bytes = writeNac(firstCodebooks(codes, recording, codebooks), { ...recording, codebooks }, constants, tables);
    if (rate(bytes) <= kbps) break;
  }
  return bytes;
}

function firstCodebooks(codes, { channels, codebooks, frames }, count) {
  const kept = new Int32Array(channels * count * frames);
  for (let channel = 0; channel < channels; channel++) {
    const from = channel * codebooks * frames;
    kept.set(codes.subarray(from, from + count * frames), channel * count * frames);
  }
  return kept;
}
