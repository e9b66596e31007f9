// Plays an open file block by block, as the worker decodes it.

const AHEAD_S = 3;
const FADE_S = 0.005;
const contexts = new Map();

/** A context at the sample rate of the model, so that blocks follow each other without a seam. */
function contextAt(rate) {
  if (!contexts.has(rate)) contexts.set(rate, new AudioContext({ sampleRate: rate }));
  return contexts.get(rate);
}

export class Playback {
  /**
   * @param {Client} client
   * @param {object} file as the worker describes it
   * @param {{onBlock: Function, onEnd: Function, onError: Function}} listeners
   */
  constructor(client, file, listeners) {
    Object.assign(this, { client, file, ...listeners });
    this.codebooks = file.header.codebooks;
    this.offset = 0; // seconds, while nothing plays
    this.voice = null;
  }

  get playing() {
    return this.voice !== null;
  }

  get duration() {
    return this.file.whole / this.file.rate;
  }

  get position() {
    const { voice } = this;
    if (!voice) return this.offset;
    const at = voice.started === null ? voice.from : voice.from + voice.context.currentTime - voice.started;
    return Math.min(Math.max(at, voice.from), this.duration);
  }

  /** Whether nothing follows; a truncated file ends before its duration. */
  get #ended() {
    return this.offset >= this.file.samples / this.file.rate - 0.02;
  }

  async play() {
    if (this.voice) return;
    if (this.#ended) this.offset = 0;
    const context = contextAt(this.file.rate);
    await context.resume();
    this.#begin(this.offset, null);
  }

  pause() {
    this.offset = this.position;
    this.#silence(this.voice);
    this.voice = null;
  }

  seek(seconds) {
    const resume = this.playing;
    if (resume) this.pause();
    this.offset = Math.min(Math.max(0, seconds), this.file.samples / this.file.rate);
    if (resume && !this.#ended) this.play();
  }

  /** Decode fewer codebooks from now on; what plays goes on until the first new block is there. */
  choose(codebooks) {
    this.codebooks = codebooks;
    if (this.voice) this.#begin(this.position + 0.3, this.voice);
  }

  /** Start a voice at a position; it takes over from `before` at the same position. */
  async #begin(from, before) {
    const { file, client } = this, context = contextAt(file.rate);
    const voice = { context, from, started: null, gain: new GainNode(context), sources: new Set(), done: false, next: 0 };
    if (!before) this.voice = voice;
    this.latest = voice;
    voice.gain.connect(context.destination);
    try {
      const first = Math.round(from * file.rate);
      voice.from = first / file.rate;
      voice.stream = await client.call("stream", [file.number, first, this.codebooks]);
      while (this.latest === voice && (!before || this.voice)) {
        const channels = await client.call("read", [voice.stream]);
        if (this.latest !== voice) break;
        if (!channels) {
          voice.done = true;
          break;
        }
        this.onBlock(first + voice.next, channels, file.rate);
        if (voice.started === null && !this.#takeOver(voice, before)) break;
        this.#schedule(voice, channels);
        while (this.latest === voice && voice.started + voice.next / file.rate > context.currentTime + AHEAD_S) await sleep(50);
      }
      if (voice.done && this.latest === voice) {
        while (this.voice === voice && this.position < voice.from + voice.next / file.rate) await sleep(30);
        if (this.voice === voice) {
          this.voice = null;
          this.offset = voice.from + voice.next / file.rate;
          this.onEnd();
        }
      }
    } catch (error) {
      if (this.voice === voice) this.voice = null;
      this.onError(error);
    }
    client.call("close", [voice.stream]);
  }

  #takeOver(voice, before) {
    const { context } = voice, soon = context.currentTime + 0.05;
    if (before) {
      if (this.voice !== before) return false; // paused or moved meanwhile
      const met = before.started + voice.from - before.from;
      voice.started = Math.max(met, soon);
      voice.gain.gain.value = 0;
      voice.gain.gain.setTargetAtTime(1, voice.started, FADE_S);
      before.gain.gain.setTargetAtTime(0, voice.started, FADE_S);
      setTimeout(() => this.#silence(before), 1000 * (voice.started - context.currentTime + 0.1));
      this.voice = voice;
    } else {
      voice.started = soon;
    }
    voice.started = Math.ceil(voice.started * context.sampleRate) / context.sampleRate;
    return true;
  }

  #schedule(voice, channels) {
    const { context } = voice, { rate } = this.file, [{ length }] = channels;
    if (!length) return;
    const buffer = new AudioBuffer({ length, numberOfChannels: channels.length, sampleRate: rate });
    channels.forEach((channel, i) => buffer.copyToChannel(channel, i));
    const late = context.currentTime - (voice.started + voice.next / rate);
    if (late > 0) voice.started = Math.ceil((voice.started + late + 0.05) * rate) / rate; // decoding is too slow: a pause
    const source = new AudioBufferSourceNode(context, { buffer });
    source.connect(voice.gain);
    source.start(voice.started + voice.next / rate);
    source.onended = () => voice.sources.delete(source);
    voice.sources.add(source);
    voice.next += length;
  }

  #silence(voice) {
    if (this.latest === voice) this.latest = null;
    for (const source of voice?.sources ?? []) source.stop();
    voice?.gain.disconnect();
  }
}

const sleep = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
