// The codes of a packet: which table each is coded under, and in which order.
import { DamagedPayload, RangeDecoder, RangeEncoder } from "./range_coder.js";

/** Marks a code that a frame does not have. */
export const NO_CODE = -1;

/**
 * Decode a payload.
 *
 * @param {Uint8Array} payload
 * @param {Tables} tables
 * @param {{channels: number, codebooks: number, variable: boolean}} header
 * @param {number} frames
 * @returns {{codes: Int32Array, bits: Float64Array}} `codes[(channel * codebooks + codebook) * frames + frame]`, and the
 *   information of the codes of each codebook in bits
 */
export function decodePacket(payload, tables, header, frames) {
  if (payload.length % 4) throw new DamagedPayload();
  const decoder = new RangeDecoder(payload), bits = new Float64Array(header.codebooks);
  const packet = new Packet(tables, header, frames);
  packet.walk(
    (row) => decoder.decode(tables.countCumulative, row, tables.codebooks + 1),
    (row, place, codebook) => {
      const code = decoder.decode(tables.cumulative, row, tables.size);
      packet.codes[place] = code;
      bits[codebook] += tables.bits(row, code);
    },
  );
  decoder.finish();
  return { codes: packet.codes, bits };
}

/** Encode codes, as `decodePacket` returns them, of a file that is not *variable*. */
export function encodePacket(codes, tables, header, frames) {
  const encoder = new RangeEncoder(), packet = new Packet(tables, { ...header, variable: false }, frames);
  packet.codes.set(codes);
  packet.walk(null, (row, place) => encoder.encode(tables.cumulative, row, codes[place]));
  return encoder.finish();
}

class Packet {
  constructor(tables, { channels, codebooks, variable }, frames) {
    Object.assign(this, { tables, channels, codebooks, variable, frames });
    if (codebooks > tables.codebooks || (variable && tables.classes === 1)) throw new DamagedPayload();
    this.codes = new Int32Array(channels * codebooks * frames).fill(NO_CODE);
    this.counts = new Uint8Array(channels * frames).fill(codebooks);
    this.scores = new Int32Array(tables.classes);
  }

  /**
   * Call `nextCount(row)` for each number of codes, which returns it, and `nextCode(row, place, codebook)` for each code,
   * which has put it to its place in `codes`; `row` is that of the table.
   */
  walk(nextCount, nextCode) {
    const { tables, channels, codebooks, frames, counts } = this;
    if (this.variable) {
      for (let channel = 0; channel < channels; channel++) {
        let before = tables.codebooks + 1;
        for (let frame = 0; frame < frames; frame++) {
          before = counts[channel * frames + frame] = nextCount(tables.countRow(before));
          if (before > codebooks) throw new DamagedPayload();
        }
      }
    }
    this.means = Array.from({ length: channels }, (_, channel) => {
      const sum = counts.subarray(channel * frames, (channel + 1) * frames).reduce((total, count) => total + count, 0);
      return Math.floor((2 * sum + frames) / (2 * frames));
    });
    for (let codebook = 0; codebook < codebooks; codebook++) {
      if (codebook === 0 || tables.classes === 1) this.#inOrder(codebook, nextCode);
      else this.#byClass(codebook, nextCode);
    }
  }

  #inOrder(codebook, nextCode) {
    const { tables, channels, codebooks, frames } = this;
    for (let channel = 0; channel < channels; channel++) {
      for (let frame = 0; frame < frames; frame++) {
        if (this.counts[channel * frames + frame] <= codebook) continue;
        const row = tables.row(codebook, this.#classOf(codebook, channel, frame));
        nextCode(row, (channel * codebooks + codebook) * frames + frame, codebook);
      }
    }
  }

  #byClass(codebook, nextCode) {
    const { tables, channels, codebooks, frames } = this;
    const places = Array.from({ length: tables.classes }, () => []);
    for (let channel = 0; channel < channels; channel++) {
      for (let frame = 0; frame < frames; frame++) {
        if (this.counts[channel * frames + frame] <= codebook) continue;
        places[this.#classOf(codebook, channel, frame)].push((channel * codebooks + codebook) * frames + frame);
      }
    }
    places.forEach((some, group) => {
      for (const place of some) nextCode(tables.row(codebook, group), place, codebook);
    });
  }

  #classOf(codebook, channel, frame) {
    const { tables, scores } = this;
    if (tables.classes === 1) return 0;
    scores.fill(0);
    const first = (at) => this.#codeAt(0, channel, at);
    const near = codebook === 0
      ? [first(frame - 1), first(frame - 2)]
      : [first(frame - 1), first(frame), first(frame + 1), this.#codeAt(codebook - 1, channel, frame)];
    for (let v = 0; v < near.length; v++) {
      this.#add(tables.votes, (codebook * 4 + v) * (tables.size + 1) + (near[v] === NO_CODE ? tables.size : near[v]));
    }
    const unknown = tables.codebooks + 1;
    const count = (at) => (at < 0 || at >= this.frames ? unknown : this.counts[channel * this.frames + at]);
    const numbers = this.variable
      ? [count(frame - 1), count(frame), count(frame + 1), this.means[channel]]
      : [unknown, unknown, unknown, unknown];
    for (let v = 0; v < 4; v++) this.#add(tables.countVotes, (codebook * 4 + v) * (tables.codebooks + 2) + numbers[v]);
    let best = 0;
    for (let group = 1; group < scores.length; group++) if (scores[group] > scores[best]) best = group;
    return best;
  }

  #codeAt(codebook, channel, frame) {
    return frame < 0 || frame >= this.frames ? NO_CODE : this.codes[(channel * this.codebooks + codebook) * this.frames + frame];
  }

  #add(table, row) {
    const { scores } = this, start = row * scores.length;
    for (let group = 0; group < scores.length; group++) scores[group] += table[start + group];
  }
}
