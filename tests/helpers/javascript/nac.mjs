// Runs the decoder of the page in Node: node nac.mjs DECODER MODEL RUNTIME, then one job of JSON a line on standard input.
import fs from "node:fs";
import readline from "node:readline";

const [decoder, model, runtime] = process.argv.slice(2);
const part = (name) => import(`${decoder}/${name}.js`);
const [{ NacFile }, { readTables }, { Decoder, Encoder }, { writeNac }] = await Promise.all(["nac_file", "tables", "network", "writer"].map(part));
const read = (path) => new Uint8Array(fs.readFileSync(path));
const constants = JSON.parse(fs.readFileSync(`${model}/constants.json`)), tables = readTables(read(`${model}/tables.safetensors`));
const open = (path) => new NacFile(read(path), () => ({ constants, tables }));
const sessions = {};
const session = (name) => (sessions[name] ??= load(name));
const load = async (name) => {
  const ort = await import(`${runtime}/ort.wasm.min.mjs`);
  ort.env.wasm.numThreads = 1;
  return [ort, await ort.InferenceSession.create(read(`${model}/${name}.onnx`)), constants];
};

const jobs = {
  read({ path }) {
    const file = open(path), codes = Array.from(file.codes(0, file.frames));
    const { header, lost, truncatedAt, repaired, tags, pictures } = file;
    return { header, lost, truncatedAt, repaired, tags: Object.fromEntries(file.tags), pictures: pictures.length, kbps: file.kbps(), codes };
  },
  write({ path, recording, codes }) {
    fs.writeFileSync(path, writeNac(Int32Array.from(codes), recording, constants, tables));
  },
  async decode({ path, start, codebooks, out, block }) {
    const file = open(path), stream = new Decoder(...await session("decoder")).stream(file, codebooks ?? file.header.codebooks, start ?? 0);
    const first = stream.sample, blocks = [];
    for (let channels; (channels = await stream.read(block));) blocks.push(channels);
    const whole = Array.from({ length: file.header.channels }, (_, i) => blocks.flatMap((channels) => [...channels[i]]));
    fs.writeFileSync(out, Buffer.from(Float32Array.from(whole.flat()).buffer));
    return { first, channels: whole.length };
  },
  async encode({ path, channels, codebooks, out }) {
    const samples = fs.readFileSync(path), wave = new Float32Array(samples.buffer, samples.byteOffset, samples.length / 4);
    const width = wave.length / channels, given = Array.from({ length: channels }, (_, i) => wave.subarray(i * width, (i + 1) * width));
    const made = await new Encoder(...await session("encoder")).encode(given, codebooks);
    fs.writeFileSync(out, writeNac(made.codes, made, constants, tables));
  },
};

for await (const line of readline.createInterface({ input: process.stdin })) {
  const { job, ...given } = JSON.parse(line);
  try {
    console.log(JSON.stringify((await jobs[job](given)) ?? {}));
  } catch (error) {
    if (error.constructor.name !== "NacError") throw error;
    console.log(JSON.stringify({ error: error.message }));
  }
}
