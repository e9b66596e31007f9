// Range coder with 64 bits of state and words of 32. A 64-bit number is two unsigned halves of 32 bits; products are of
// two factors below 2^40 and 2^25, in parts that double precision holds exactly.
import { word } from "./bytes.js";
import { PRECISION } from "./tables.js";

const WORD = 2 ** 32;
const PART = 2 ** 20;

/** A payload that no encoder has written. */
export class DamagedPayload extends Error {}

/** Product of a scale below 2^40 and a frequency of at most 2^24, as halves. */
function product(scale, frequency, out) {
  const upper = Math.floor(scale / PART) * frequency;
  const lower = (upper % 4096) * PART + (scale % PART) * frequency;
  out.high = Math.floor(upper / 4096) + Math.floor(lower / WORD);
  out.low = lower % WORD;
}

export class RangeDecoder {
  /** @param {Uint8Array} payload whose length is a multiple of 4 */
  constructor(payload) {
    this.payload = payload;
    this.next = 0;
    this.high = this.#word(); // `point - lower`, of which the decoder needs the difference alone
    this.low = this.#word();
    this.rangeHigh = this.rangeLow = WORD - 1;
    this.product = { high: 0, low: 0 };
  }

  #word() {
    this.next += 4;
    return this.next <= this.payload.length ? word(this.payload, this.next - 4) : 0;
  }

  /** Decode a symbol under the `size + 1` cumulative frequencies that begin at `row` of `cumulative`. */
  decode(cumulative, row, size) {
    const scale = this.rangeHigh * 256 + (this.rangeLow >>> PRECISION), part = this.product;
    // The quotient of doubles is right to within one; the exact product decides.
    let quotient = Math.floor((this.high * WORD + this.low) / scale);
    if (quotient > 2 ** PRECISION + 1) throw new DamagedPayload();
    product(scale, quotient, part);
    if (part.high > this.high || (part.high === this.high && part.low > this.low)) {
      quotient--;
    } else {
      product(scale, quotient + 1, part);
      if (part.high < this.high || (part.high === this.high && part.low <= this.low)) quotient++;
    }
    if (quotient >= 2 ** PRECISION) throw new DamagedPayload();
    let code = 0, end = size; // the last code whose cumulative frequency is not above the quotient
    while (end - code > 1) {
      const middle = (code + end) >> 1;
      if (cumulative[row + middle] <= quotient) code = middle;
      else end = middle;
    }
    const first = cumulative[row + code];
    product(scale, first, part);
    const difference = this.low - part.low;
    this.low = difference < 0 ? difference + WORD : difference;
    this.high -= part.high + (difference < 0 ? 1 : 0);
    product(scale, cumulative[row + code + 1] - first, part);
    this.rangeHigh = part.high;
    this.rangeLow = part.low;
    if (this.rangeHigh === 0) {
      this.rangeHigh = this.rangeLow;
      this.rangeLow = 0;
      this.high = this.low;
      this.low = this.#word();
    }
    return code;
  }

  /** Check that all words were used and that the encoder could have ended here. */
  finish() {
    if (this.next < this.payload.length || this.high > 1 || (this.high === 1 && this.low === WORD - 1)) throw new DamagedPayload();
  }
}

export class RangeEncoder {
  constructor() {
    this.words = [];
    this.high = this.low = 0; // of `lower`
    this.rangeHigh = this.rangeLow = WORD - 1;
    this.product = { high: 0, low: 0 };
  }

  /** Encode a symbol under the cumulative frequencies that begin at `row` of `cumulative`. */
  encode(cumulative, row, code) {
    const scale = this.rangeHigh * 256 + (this.rangeLow >>> PRECISION), part = this.product;
    const first = cumulative[row + code];
    product(scale, first, part);
    this.#add(part.high, part.low);
    product(scale, cumulative[row + code + 1] - first, part);
    this.rangeHigh = part.high;
    this.rangeLow = part.low;
    if (this.rangeHigh === 0) {
      this.words.push(this.high);
      this.high = this.low;
      this.low = 0;
      this.rangeHigh = this.rangeLow;
      this.rangeLow = 0;
    }
  }

  #add(addHigh, addLow) {
    const low = this.low + addLow;
    const sum = this.high + addHigh + Math.floor(low / WORD);
    this.low = low % WORD;
    this.high = sum % WORD;
    if (sum < WORD) return;
    for (let i = this.words.length - 1; i >= 0; i--) {
      this.words[i] = (this.words[i] + 1) % WORD;
      if (this.words[i] > 0) break;
    }
  }

  /** @returns {Uint8Array} the payload */
  finish() {
    const end = this.high + this.rangeHigh + Math.floor((this.low + this.rangeLow) / WORD); // may wrap, as `lower` does
    this.#add(0, WORD - 1);
    const point = this.high;
    this.words.push(point);
    if (end % WORD === point) this.words.push(0);
    const bytes = new Uint8Array(4 * this.words.length), view = new DataView(bytes.buffer);
    this.words.forEach((value, i) => view.setUint32(4 * i, value, true));
    return bytes;
  }
}
