// Decodes codes (int64, in files) with a decoder's graph in WebAssembly: node decoder_graph.mjs RUNTIME GRAPH CODEBOOKS FILE…
// The samples (float32, or the graph's type) are written beside each file, as FILE.samples.
import fs from "node:fs";

const [runtime, graph, codebooks, ...files] = process.argv.slice(2);
const ort = await import(`${runtime}/ort.wasm.min.mjs`);
ort.env.wasm.numThreads = 1;
const session = await ort.InferenceSession.create(new Uint8Array(fs.readFileSync(graph)));
const arrays = { float32: Float32Array, float64: Float64Array };
for (const file of files) {
  const codes = new BigInt64Array(new Uint8Array(fs.readFileSync(file)).buffer);
  const inputs = { codes: new ort.Tensor("int64", codes, [1, +codebooks, codes.length / codebooks]) };
  for (const { name, type, shape } of session.inputMetadata.slice(1)) {
    const sizes = [1, ...shape.slice(1)];
    inputs[name] = new ort.Tensor(type, new arrays[type](sizes.reduce((a, b) => a * b)), sizes);
  }
  const { data } = (await session.run(inputs))[session.outputNames[0]];
  fs.writeFileSync(`${file}.samples`, data);
}
