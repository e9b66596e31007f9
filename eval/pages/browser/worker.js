// Decodes and encodes beside the page, so that it stays responsive. Each message is `{id, method, arguments}`; its answer
// is `{id, result}` or `{id, error}`, and `{id, progress}` before.
import { writeNacWithin } from "./nac/bit_rate.js";
import { NacError } from "./nac/bytes.js";
import { readStart } from "./nac/header.js";
import { NacFile } from "./nac/nac_file.js";
import { Decoder, Encoder } from "./nac/network.js";
import { readTables } from "./nac/tables.js";

let settings = null, runtime = null;
const models = new Map(), files = new Map(), streams = new Map();
let numbers = 0, last = Promise.resolve();

const methods = {
  /** Say where things are: `{runtime, providers, models: [{fingerprints, path}]}`, with absolute addresses. */
  configure(given) {
    settings = given;
  },

  /** Open the bytes of a file; the answer describes it. */
  async open(bytes) {
    const model = await modelOf(readStart(bytes).header.fingerprint);
    const file = new NacFile(bytes, () => model), number = ++numbers, { header } = file;
    files.set(number, { file, model });
    const { sample_rate: rate, latent_hop: latentHop } = model.constants;
    return {
      number, header, rate, samples: header.frames === file.frames ? file.modelSamples : Math.min(file.modelSamples, file.frames * latentHop),
      whole: file.modelSamples, repaired: file.repaired, bytes: file.bytes, kbps: file.kbps(),
      lost: file.lost.map((span) => span.map((frame) => (frame * latentHop) / rate)),
      cutOff: file.truncatedAt === null ? null : (file.truncatedAt * latentHop) / rate,
      tags: Object.fromEntries(file.tags),
    };
  },

  /** Begin to decode an open file at a sample; the answer is the number of the stream. */
  async stream(number, sample, codebooks) {
    const { file, model } = files.get(number), { latent_hop: latentHop, hop } = model.constants;
    const decoder = await (model.decoder ??= session(model, "decoder").then((made) => new Decoder(runtime, made, model.constants)));
    const stream = decoder.stream(file, codebooks, Math.max(0, Math.floor((sample + hop) / latentHop)));
    streams.set(++numbers, { stream, skip: sample - stream.sample });
    return numbers;
  },

  /** The next block of a stream: the samples of each channel, null at the end. */
  async read(number) {
    const entry = streams.get(number);
    if (!entry) return null;
    const channels = await entry.stream.read();
    if (!channels) streams.delete(number);
    const { skip } = entry;
    entry.skip = 0;
    return channels && channels.map((channel) => channel.subarray(skip));
  },

  /** Forget a stream. */
  close(number) {
    streams.delete(number);
  },

  /** What a model needs to encode: its sample rate, codebooks and nominal bit rate of one codebook. */
  async describe(fingerprint) {
    const { constants } = await modelOf(fingerprint);
    const { sample_rate: rate, codebooks, bits_per_code: bits, latent_hop: latentHop } = constants;
    return { rate, codebooks, kbps: (bits * rate) / latentHop / 1000 };
  },

  /** Encode channels at the model's sample rate; the answer is the bytes of a file of at most `kbps`. */
  async encode(fingerprint, channels, kbps, progress) {
    const model = await modelOf(fingerprint);
    const encoder = await (model.encoder ??= session(model, "encoder").then((made) => new Encoder(runtime, made, model.constants)));
    const made = await encoder.encode(channels, model.constants.codebooks, progress);
    return writeNacWithin(made.codes, made, model.constants, model.tables, kbps);
  },
};

function modelOf(fingerprint) {
  const listed = settings.models.find(({ fingerprints }) => fingerprints.some((one) => one.startsWith(fingerprint.slice(0, 8))));
  if (!listed) throw new NacError(`this file was made with the model ${fingerprint}, which is not on this page`);
  if (!models.has(listed)) {
    models.set(listed, (async () => {
      const [constants, tables] = await Promise.all(["constants.json", "tables.safetensors"].map((name) => download(`${listed.path}/${name}`)));
      return { path: listed.path, constants: JSON.parse(new TextDecoder().decode(constants)), tables: readTables(tables) };
    })());
  }
  return models.get(listed);
}

async function download(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new NacError(`${address} cannot be loaded (${answer.status})`);
  return new Uint8Array(await answer.arrayBuffer());
}

async function session(model, name) {
  if (!runtime) {
    runtime = await import(settings.runtime);
    runtime.env.wasm.numThreads = 1; // more need headers that plain web servers do not send
  }
  const graph = await download(`${model.path}/${name}.onnx`);
  return runtime.InferenceSession.create(graph, { executionProviders: settings.providers });
}

onmessage = ({ data: { id, method, given } }) => {
  const progress = (share) => postMessage({ id, progress: share });
  last = last.then(async () => { // one after the other: a session runs once at a time
    try {
      const result = await methods[method](...given, progress);
      const buffers = method === "read" && result ? result.map(({ buffer }) => buffer) : [];
      postMessage({ id, result }, buffers);
    } catch (error) {
      postMessage({ id, error: error instanceof NacError ? error.message : String(error) });
    }
  });
};
