// Decodes codes to a WAV file with the graphs of codec export --onnx, in Node.js.
//
//   npm install onnxruntime-node
//   codec export speech_16k_v2 --out model/ --onnx --dtype int8
//   node decode.mjs model/decoder.int8.onnx codes.npy sound.wav
//
// codes.npy holds whole numbers [codebooks, frames], as c.encode(wave, rate).codes has them. In a browser, the same code
// runs with onnxruntime-web in place of onnxruntime-node, and fetch in place of readFileSync.

import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import ort from "onnxruntime-node";

const BLOCK = 64; // frames that are computed at once

/** Read a .npy file of integers [codebooks, frames]. */
function readCodes(path) {
  const bytes = readFileSync(path);
  const end = 10 + bytes.readUInt16LE(8);
  const header = bytes.toString("latin1", 10, end);
  const [, kind] = header.match(/'descr': '[<|]([iu]\d)'/) ?? [];
  const [, rows, columns] = header.match(/'shape': \((\d+), (\d+)\)/) ?? [];
  const Numbers = { i1: Int8Array, u1: Uint8Array, i2: Int16Array, u2: Uint16Array, i4: Int32Array, i8: BigInt64Array }[kind];
  if (!Numbers || !rows || header.includes("'fortran_order': True")) {
    throw new Error(`${path}: not whole numbers [codebooks, frames] in C order`);
  }
  const values = new Numbers(bytes.buffer.slice(bytes.byteOffset + end, bytes.byteOffset + bytes.length));
  return { values: BigInt64Array.from(values, BigInt), codebooks: Number(rows), frames: Number(columns) };
}

/** Return frames first to stop of the codes as [1, codebooks of the model, frames]; -1 stands for a code that is missing. */
function block({ values, codebooks, frames }, first, stop, all) {
  const part = new BigInt64Array(all * (stop - first)).fill(-1n);
  for (let book = 0; book < codebooks; book++) {
    part.set(values.subarray(book * frames + first, book * frames + stop), book * (stop - first));
  }
  return new ort.Tensor("int64", part, [1, all, stop - first]);
}

/** Decode codes to samples, block by block; the state of one block is an input of the next. */
async function decode(graph, constants, codes) {
  const session = await ort.InferenceSession.create(readFileSync(graph));
  const states = constants.states["decoder.onnx"];
  let state = Object.fromEntries(
    states.map(({ shape }, number) => [
      `state_${number}`,
      new ort.Tensor("float32", new Float32Array(shape.reduce((a, b) => a * b, 1)), [1, ...shape]),
    ]),
  );
  const wave = new Float32Array(codes.frames * constants.latent_hop);
  for (let first = 0; first < codes.frames; first += BLOCK) {
    const stop = Math.min(first + BLOCK, codes.frames);
    const found = await session.run({ codes: block(codes, first, stop, constants.codebooks), ...state });
    wave.set(found.wave.data, first * constants.latent_hop);
    state = Object.fromEntries(states.map((_, number) => [`state_${number}`, found[`next_${number}`]]));
  }
  return wave.subarray(constants.hop); // what is before the first sample
}

/** Write samples as a WAV file of 16 bits. */
function writeWav(path, wave, rate) {
  const bytes = Buffer.alloc(44 + 2 * wave.length);
  bytes.write("RIFF", 0);
  bytes.writeUInt32LE(36 + 2 * wave.length, 4);
  bytes.write("WAVEfmt ", 8);
  [16, 0x10001, rate, 2 * rate, 0x100002].forEach((value, place) => bytes.writeUInt32LE(value, 16 + 4 * place));
  bytes.write("data", 36);
  bytes.writeUInt32LE(2 * wave.length, 40);
  wave.forEach((value, place) =>
    bytes.writeInt16LE(Math.max(-32768, Math.min(32767, Math.round(value * 32768))), 44 + 2 * place),
  );
  writeFileSync(path, bytes);
}

const [graph, source, target] = process.argv.slice(2);
if (!target) {
  console.error("node decode.mjs MODEL/decoder.onnx CODES.npy SOUND.wav");
  process.exit(2);
}
const constants = JSON.parse(readFileSync(join(dirname(graph), "constants.json"), "utf8"));
const codes = readCodes(source);
writeWav(target, await decode(graph, constants, codes), constants.sample_rate);
console.log(`${target}: ${codes.frames} frames`);
