// Times the programs of a page in Node: node browser_speed.mjs PAGE FILE… prints one line of JSON.
import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

const [page, ...files] = process.argv.slice(2);
const program = (name) => import(pathToFileURL(path.join(page, "app/nac", `${name}.js`)));
const [{ readStart }, { NacFile }, { readTables }, { Decoder, Encoder }] = await Promise.all(["header", "nac_file", "tables", "network"].map(program));
const ort = await import(pathToFileURL(path.resolve(page, "runtime/ort.wasm.min.mjs")));
ort.env.wasm.numThreads = 1;

const read = (name) => new Uint8Array(fs.readFileSync(name));
const used = () => process.cpuUsage().user / 1e6 + process.cpuUsage().system / 1e6;
async function timed(work) {
  const before = used(), result = await work();
  return [used() - before, result];
}

const fingerprint = readStart(read(files[0])).header.fingerprint.slice(0, 8);
const model = path.join(page, "models", fs.readdirSync(path.join(page, "models")).find((name) => name.startsWith(fingerprint)));
const constants = JSON.parse(fs.readFileSync(path.join(model, "constants.json"))), tables = readTables(read(path.join(model, "tables.safetensors")));
const session = (name) => timed(() => ort.InferenceSession.create(read(path.join(model, `${name}.onnx`))));
const [startDecoder, decoder] = await session("decoder"), [startEncoder, encoder] = await session("encoder");

let seconds = 0, opening = 0, decoding = 0, encoding = 0;
for (let round = 0; round < 2; round++) { // the first is warm-up: programs are compiled while they run
  seconds = opening = decoding = encoding = 0;
  for (const name of files) {
    const [opened, file] = await timed(() => {
      const file = new NacFile(read(name), () => ({ constants, tables }));
      for (let frame = 0; frame < file.frames; frame += 50) file.codes(frame, Math.min(file.frames, frame + 50));
      return file;
    });
    const stream = new Decoder(ort, decoder, constants).stream(file, constants.codebooks, 0), sound = [];
    const [decoded] = await timed(async () => { for (let block; (block = await stream.read());) sound.push(...block[0]); });
    const [encoded] = await timed(() => new Encoder(ort, encoder, constants).encode([Float32Array.from(sound)], constants.codebooks));
    seconds += sound.length / constants.sample_rate;
    opening += opened;
    decoding += decoded;
    encoding += encoded;
  }
}
console.log(JSON.stringify({ seconds, startDecoder, startEncoder, opening, decoding, encoding }));
