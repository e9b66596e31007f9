// A `.nac` file of any profile and version as latent frames of codes, with what was lost.
import { NacError } from "./bytes.js";
import { checkSamples, modelSamples, readStart } from "./header.js";
import { findPackets } from "./layout.js";
import { readLive } from "./live.js";
import { NO_CODE, decodePacket } from "./packet.js";
import { DamagedPayload } from "./range_coder.js";

/** Lost frames are replaced by the last intact one for as long. */
const REPEATED_S = 0.04;

export class NacFile {
  /**
   * @param {Uint8Array} content of the file
   * @param {(fingerprint: string) => {tables: Tables, constants: object}} modelOf the model of a fingerprint's beginning
   */
  constructor(content, modelOf) {
    const { header, bytes, start, repaired, tags, pictures } = readStart(content);
    Object.assign(this, { header, repaired, tags, pictures, bytes: content.length });
    const model = modelOf(header.fingerprint);
    if (!model) throw new NacError(`the model ${header.fingerprint} of this file is not on this page`);
    Object.assign(this, model);
    const { constants } = model;
    if (header.modelRate !== constants.sample_rate || header.latentHop !== constants.latent_hop || header.codebooks > constants.codebooks) {
      throw new NacError("the header disagrees with the model");
    }
    this.decoded = new Map();
    this.truncatedAt = null;
    if (header.profile === "live") {
      this.#readLive(bytes, start);
    } else if (header.profile === "short") {
      this.packets = new Map(header.frames ? [[0, bytes.subarray(start, bytes.length - 4)]] : []);
    } else {
      const symbols = header.channels * header.packetFrames * (header.codebooks + (header.variable ? 1 : 0));
      const found = findPackets(bytes, header, start, symbols);
      this.packets = found.packets;
      if (found.truncatedAt !== null) this.truncatedAt = found.truncatedAt * header.packetFrames;
    }
    this.frames = this.truncatedAt ?? header.frames;
    this.modelSamples = modelSamples(header);
    this.lost = this.#lostSpans();
  }

  #readLive(bytes, start) {
    const { header, constants } = this;
    const { frames, end, truncated } = readLive(bytes, header, start, constants.codebook_size);
    this.live = frames;
    header.frames = end?.frames ?? frames.length;
    header.samples = end?.samples ?? Math.floor((Math.max(0, frames.length - 1) * header.latentHop * header.sampleRate) / header.modelRate);
    checkSamples(header);
    if (truncated) this.truncatedAt = frames.length;
  }

  /** Whether a frame that has not been found lost so far can be decoded; if not, its packet is lost from now on. */
  #isIntact(frame) {
    const number = this.#packetOf(frame);
    try {
      if (!this.live) this.#packet(number);
      return true;
    } catch (error) {
      if (!(error instanceof DamagedPayload)) throw error;
      this.packets.delete(number);
      this.lost = this.#lostSpans();
      return false;
    }
  }

  #packetOf(frame) {
    return Math.floor(frame / this.header.packetFrames);
  }

  /** First and last + 1 of each span of lost frames. */
  #lostSpans() {
    const spans = [], { packetFrames } = this.header;
    const add = (start, end) => {
      if (spans.at(-1)?.[1] === start) spans.at(-1)[1] = end;
      else spans.push([start, end]);
    };
    if (this.live) this.live.forEach((codes, i) => codes || add(i, i + 1));
    else for (let i = 0; i * packetFrames < this.frames; i++) if (!this.packets.has(i)) add(i * packetFrames, Math.min(this.frames, (i + 1) * packetFrames));
    return spans;
  }

  #packet(number) {
    const { header } = this;
    if (!this.decoded.has(number)) {
      if (this.decoded.size > 64) this.decoded.clear();
      const held = Math.min(header.packetFrames, header.frames - number * header.packetFrames);
      this.decoded.set(number, { ...decodePacket(this.packets.get(number), this.tables, header, held), held });
    }
    return this.decoded.get(number);
  }

  /** Codes `[channels * codebooks]` of an intact frame. */
  #frame(frame) {
    if (this.live) return this.live[frame];
    const number = this.#packetOf(frame), { packetFrames, channels, codebooks } = this.header;
    const { codes, held } = this.#packet(number), at = frame - number * packetFrames;
    return Int32Array.from({ length: channels * codebooks }, (_, i) => codes[i * held + at]);
  }

  /**
   * The codes of frames, with lost ones concealed.
   *
   * @param {number} start first frame
   * @param {number} end last frame + 1
   * @returns {Int32Array} `[channels, codebooks, end - start]`, -1 for a missing code
   */
  codes(start, end) {
    const { channels, codebooks, latentHop, modelRate } = this.header, count = end - start;
    const made = new Int32Array(channels * codebooks * count).fill(NO_CODE);
    const repeated = Math.max(1, Math.round((REPEATED_S * modelRate) / latentHop));
    for (let frame = start; frame < end; frame++) {
      const source = this.#source(frame, repeated);
      if (source >= 0) this.#frame(source).forEach((code, i) => { made[i * count + frame - start] = code; });
    }
    return made;
  }

  /** The intact frame whose codes a frame has, -1 if it has none. */
  #source(frame, repeated) {
    for (;;) {
      const span = this.lost.find(([first, last]) => first <= frame && frame < last);
      const source = span ? (frame - span[0] < repeated ? span[0] - 1 : -1) : frame;
      if (source < 0 || this.#isIntact(source)) return source;
    }
  }

  /** Bit rate with the first 1, 2, … codebooks in kbit/s, from the first packets. */
  kbps() {
    const { header } = this, bits = new Float64Array(header.codebooks);
    let seconds = 0;
    if (this.live) {
      for (const codes of this.live.filter(Boolean)) codes.forEach((code, i) => { if (code >= 0) bits[i % header.codebooks] += header.bitsPerCode; });
      seconds = (this.live.filter(Boolean).length * header.latentHop) / header.modelRate;
    } else {
      for (const number of [...this.packets.keys()].slice(0, 30).filter((each) => this.#isIntact(each * header.packetFrames))) {
        const packet = this.#packet(number);
        packet.bits.forEach((each, i) => { bits[i] += each; });
        seconds += (packet.held * header.latentHop) / header.modelRate;
      }
    }
    let sum = 0;
    return Array.from(bits, (each) => (sum += each) / 1000 / Math.max(seconds, 1e-9));
  }
}
