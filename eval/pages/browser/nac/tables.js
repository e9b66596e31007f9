// The integer tables of the range coder, from `tables.safetensors`.

const ARRAYS = { I8: Int8Array, I32: Int32Array };
export const PRECISION = 24;

/**
 * Read the tables of a model.
 *
 * @param {Uint8Array} bytes the content of `tables.safetensors`
 * @returns {Tables}
 */
export function readTables(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const first = 8 + Number(view.getBigUint64(0, true));
  const described = JSON.parse(new TextDecoder().decode(bytes.subarray(8, first)));
  const arrays = {};
  for (const [name, { dtype, shape, data_offsets: [start, end] }] of Object.entries(described)) {
    if (name === "__metadata__") continue;
    const values = new ARRAYS[dtype](bytes.slice(first + start, first + end).buffer);
    arrays[name] = { values, shape };
  }
  return new Tables(arrays);
}

/** Tables of one model: cumulative frequencies of codes and of numbers of codes, and scores of context classes. */
export class Tables {
  constructor({ frequencies, votes, count_votes: countVotes, counts }) {
    const { shape } = frequencies;
    this.codebooks = shape[0];
    this.classes = shape.length === 3 ? shape[1] : 1;
    this.size = shape.at(-1);
    this.votes = votes?.values;
    this.countVotes = countVotes?.values;
    this.cumulative = cumulate(frequencies.values, this.size);
    this.countCumulative = counts && cumulate(counts.values, this.codebooks + 1);
  }

  /** Where the cumulative frequencies of a codebook's class begin, of which there are `size + 1`. */
  row(codebook, group) {
    return (codebook * this.classes + group) * (this.size + 1);
  }

  /** Where those of the number of codes after a frame with `before` codes begin. */
  countRow(before) {
    return before * (this.codebooks + 2);
  }

  /** Information of a code in bits. */
  bits(row, code) {
    return PRECISION - Math.log2(this.cumulative[row + code + 1] - this.cumulative[row + code]);
  }
}

function cumulate(frequencies, size) {
  const rows = frequencies.length / size, sums = new Int32Array(rows * (size + 1));
  for (let row = 0; row < rows; row++) {
    let sum = 0;
    for (let code = 0; code < size; code++) {
      sum += frequencies[row * size + code];
      sums[row * (size + 1) + code + 1] = sum;
    }
    if (sum !== 2 ** PRECISION) throw new Error("the frequencies of a table do not add up to 2^24");
  }
  return sums;
}
