// The two networks of a model in ONNX Runtime: waveforms to codes, and codes to waveforms. docs/onnx.md describes the
// graphs; waveforms here are at the sample rate of the model.

/** Frames that are computed at once; from 16 on, results do not depend on it. */
export const BLOCK = 50;
const SQRT_HALF = Math.SQRT1_2;

class Graph {
  constructor(ort, session, states) {
    Object.assign(this, { ort, session, states });
  }

  zeros(streams) {
    return this.states.map(({ shape, type }) => {
      const size = shape.reduce((product, size) => product * size, streams);
      return new this.ort.Tensor(type, type === "float64" ? new Float64Array(size) : new Float32Array(size), [streams, ...shape]);
    });
  }

  async run(name, tensor, state) {
    const inputs = { [name]: tensor };
    state.forEach((value, i) => { inputs[`state_${i}`] = value; });
    const outputs = await this.session.run(inputs);
    return { outputs, state: state.map((_, i) => outputs[`next_${i}`]) };
  }
}

export class Decoder {
  /**
   * @param {object} ort the module of ONNX Runtime
   * @param {object} session of `decoder.onnx`
   * @param {object} constants of the model
   */
  constructor(ort, session, constants) {
    this.constants = constants;
    this.graph = new Graph(ort, session, constants.states["decoder.onnx"]);
  }

  /** A stream of a file's sound that begins at latent frame `start`; see {@link DecoderStream}. */
  stream(file, codebooks, start) {
    return new DecoderStream(this, file, codebooks, start);
  }
}

/** Decodes a file from a frame on, block by block. */
export class DecoderStream {
  constructor(decoder, file, codebooks, start) {
    Object.assign(this, { decoder, file, codebooks, start });
    this.next = Math.max(0, start - decoder.constants.receptive_field);
    this.state = decoder.graph.zeros(file.header.channels);
  }

  /** First sample that comes out next. */
  get sample() {
    const { latent_hop: latentHop, hop } = this.decoder.constants;
    return Math.max(0, Math.max(this.next, this.start) * latentHop - hop);
  }

  /**
   * Decode the next frames.
   *
   * @returns {Promise<Float32Array[] | null>} the samples of each channel, null at the end
   */
  async read(frames = BLOCK) {
    const { decoder, file } = this, { constants } = decoder, { header } = file;
    const begin = this.next, end = Math.min(file.frames, Math.max(begin, this.start) + frames);
    if (begin >= end) return null;
    const { outputs, state } = await decoder.graph.run("codes", this.#codes(begin, end), this.state);
    this.state = state;
    const first = this.sample, { latent_hop: latentHop, hop } = constants;
    this.next = end;
    const offset = begin * latentHop - hop, width = (end - begin) * latentHop;
    const last = Math.min(file.modelSamples, end * latentHop - hop);
    const wave = outputs.wave.data;
    const streams = Array.from({ length: header.channels }, (_, channel) => wave.slice(channel * width + first - offset, channel * width + Math.max(first, last) - offset));
    return mixed(streams, constants.stereo);
  }

  #codes(begin, end) {
    const { header } = this.file, { codebooks } = this.decoder.constants, count = end - begin;
    const made = new BigInt64Array(header.channels * codebooks * count).fill(-1n), codes = this.file.codes(begin, end);
    for (let channel = 0; channel < header.channels; channel++) {
      for (let codebook = 0; codebook < Math.min(this.codebooks, header.codebooks); codebook++) {
        const from = (channel * header.codebooks + codebook) * count, to = (channel * codebooks + codebook) * count;
        for (let frame = 0; frame < count; frame++) made[to + frame] = BigInt(codes[from + frame]);
      }
    }
    return new this.decoder.graph.ort.Tensor("int64", made, [header.channels, codebooks, count]);
  }
}

/** Mid and side of two streams become left and right, and the other way round; the two formulas are the same. */
function mixed(streams, stereo) {
  if (streams.length !== 2 || stereo !== "mid_side") return streams;
  const [a, b] = streams;
  return [a.map((value, i) => (value + b[i]) * SQRT_HALF), a.map((value, i) => (value - b[i]) * SQRT_HALF)];
}

export class Encoder {
  constructor(ort, session, constants) {
    this.constants = constants;
    this.graph = new Graph(ort, session, constants.states["encoder.onnx"]);
  }

  /**
   * Encode a recording at the sample rate of the model.
   *
   * @param {Float32Array[]} channels
   * @param {number} codebooks
   * @param {(share: number) => void} progress
   * @returns {Promise<{codes: Int32Array, channels: number, codebooks: number, frames: number, samples: number}>}
   *   `codes` are `[channels, codebooks, frames]`
   */
  async encode(channels, codebooks, progress = () => {}) {
    const { constants, graph } = this, { latent_hop: latentHop, hop } = constants, count = channels.length;
    const streams = mixed(channels, constants.stereo), samples = streams[0].length;
    const frames = samples ? Math.ceil((samples + hop) / latentHop) : 0;
    const codes = new Int32Array(count * codebooks * frames);
    let state = graph.zeros(count);
    for (let begin = 0; begin < frames; begin += BLOCK) {
      const held = Math.min(BLOCK, frames - begin), width = held * latentHop, wave = new Float32Array(count * width);
      streams.forEach((stream, i) => wave.set(stream.subarray(begin * latentHop, (begin + held) * latentHop), i * width));
      const made = await graph.run("wave", new graph.ort.Tensor("float32", wave, [count, width]), state);
      state = made.state;
      const found = made.outputs.codes.data;
      for (let channel = 0; channel < count; channel++) {
        for (let codebook = 0; codebook < codebooks; codebook++) {
          const from = (channel * constants.codebooks + codebook) * held, to = (channel * codebooks + codebook) * frames + begin;
          for (let frame = 0; frame < held; frame++) codes[to + frame] = Number(found[from + frame]);
        }
      }
      progress((begin + held) / frames);
    }
    return { codes, channels: count, codebooks, frames, samples };
  }
}
