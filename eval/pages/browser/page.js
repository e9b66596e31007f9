// The page: a card for each file, and a place to drop sounds and files.
import { Client } from "./client.js";
import { Playback } from "./playback.js";

const settings = JSON.parse(document.getElementById("settings").textContent);
if (settings.webgpu && !navigator.gpu) settings.runtime = settings.wasmRuntime;
settings.providers = settings.webgpu && navigator.gpu ? ["webgpu", "wasm"] : ["wasm"];
const client = new Client(settings);
export { client };

const PEAKS = 300;
const cards = document.getElementById("cards"), template = document.getElementById("card");
let current = null;

const clock = (seconds) => {
  const whole = Math.floor(seconds), two = (value) => String(value).padStart(2, "0");
  const hours = Math.floor(whole / 3600), minutes = Math.floor(whole / 60) % 60;
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
};
const kbit = (value) => `${value.toFixed(value < 10 ? 1 : 0)} kbit/s`;
const size = (bytes) => (bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`);

/** Numbers of codebooks to choose from: all, a half, a quarter, an eighth. */
const shares = (codebooks) => [...new Set([1, 2, 4, 8].map((share) => Math.ceil(codebooks / share)))];

class Card {
  constructor(name, load) {
    this.place = template.content.firstElementChild.cloneNode(true);
    this.parts = Object.fromEntries([...this.place.querySelectorAll("[data-part]")].map((part) => [part.dataset.part, part]));
    this.parts.name.textContent = name;
    this.load = load;
    this.peaks = new Float32Array(PEAKS);
    this.playback = null;
    this.parts.play.addEventListener("click", () => this.toggle());
    this.parts.position.addEventListener("input", () => this.seek(Number(this.parts.position.value)));
    this.parts.strip.addEventListener("click", (event) => {
      const box = this.parts.strip.getBoundingClientRect();
      if (this.playback) this.seek(((event.clientX - box.left) / box.width) * this.playback.duration);
    });
    cards.append(this.place);
  }

  /** Load and describe the file, once. */
  open() {
    return (this.opened ??= this.#open().catch((error) => this.fail(error)));
  }

  async #open() {
    this.say("Loading …");
    const bytes = await this.load(), address = URL.createObjectURL(new Blob([bytes]));
    const file = await client.call("open", [bytes]);
    this.playback = new Playback(client, file, {
      onBlock: (...block) => this.#measure(...block), onEnd: () => this.show(), onError: (error) => this.fail(error),
    });
    const { name, facts, position, download } = this.parts, { header, kbps, tags } = file;
    const seconds = this.playback.duration;
    const parts = [clock(seconds), `${header.sampleRate / 1000} kHz`, { 1: "mono", 2: "stereo" }[header.channels] ?? `${header.channels} channels`];
    const whole = (8 * (file.bytes - header.blockBytes)) / 1000 / Math.max(seconds, 0.1);
    facts.textContent = [...parts, kbit(whole), size(file.bytes)].join(" · ");
    if (tags.title) this.parts.title.textContent = [tags.title, tags.artist].filter(Boolean).map((values) => values.join(", ")).join(" – ");
    position.max = seconds;
    download.href = address;
    download.download = name.textContent;
    download.hidden = false;
    // those of the first packets, as parts of the rate that stands above
    this.#offerRates(kbps.map((rate) => (rate * whole) / (kbps.at(-1) || 1)), header.codebooks);
    this.#showDamage(file, seconds);
    position.disabled = false;
    this.say("");
    this.show();
  }

  #offerRates(kbps, codebooks) {
    const label = (number) => kbps[number - 1].toFixed(kbps[number - 1] < 10 ? 1 : 0);
    const numbers = [];  // rates that are nearly the same are offered once
    for (const number of shares(codebooks)) if (!numbers.length || kbps[number - 1] < 0.9 * kbps[numbers.at(-1) - 1]) numbers.push(number);
    for (const number of numbers) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = label(number);
      button.title = `${kbit(kbps[number - 1])}: ${number} of ${codebooks} codebooks`;
      button.dataset.codebooks = number;
      button.setAttribute("aria-pressed", String(number === codebooks));
      button.addEventListener("click", () => this.choose(number));
      this.parts.switch.append(button);
    }
    this.parts.rates.hidden = numbers.length < 2;
  }

  #showDamage({ lost, cutOff, repaired }, seconds) {
    const spans = [...lost.map(([start, end]) => ({ start, end, kind: "lost" })), ...(cutOff === null ? [] : [{ start: cutOff, end: seconds, kind: "missing" }])];
    for (const { start, end, kind } of spans) {
      const mark = document.createElement("i");
      mark.className = kind;
      mark.style.left = `${(100 * start) / seconds}%`;
      mark.style.width = `${(100 * (Math.min(end, seconds) - start)) / seconds}%`;
      this.parts.strip.append(mark);
    }
    const span = ([start, end]) => `${start.toFixed(2)} to ${Math.min(end, seconds).toFixed(2)} s`;
    const more = lost.length > 5 ? ` and ${lost.length - 5} more` : "";
    this.parts.damage.textContent = [
      lost.length ? `Damaged: ${lost.slice(0, 5).map(span).join(", ")}${more} lost; concealed.` : "",
      cutOff === null ? "" : `Cut off at ${cutOff.toFixed(2)} s; the rest is missing.`,
      repaired ? "One damaged byte was repaired." : "",
    ].join(" ").trim();
  }

  /** Draw the peaks of a block of samples. */
  #measure(first, channels) {
    this.say("");
    const { whole } = this.playback.file;
    channels[0].forEach((value, i) => {
      const at = Math.floor(((first + i) * PEAKS) / whole);
      if (Math.abs(value) > this.peaks[at]) this.peaks[at] = Math.abs(value);
    });
    const scale = 28 / Math.max(0.1, ...this.peaks);
    const line = [...this.peaks].map((peak, i) => (peak ? `M${i + 0.5} ${30 - peak * scale}v${2 * peak * scale}` : "")).join("");
    this.parts.wave.setAttribute("d", line);
  }

  async toggle() {
    await this.open();
    if (!this.playback) return;
    if (this.playback.playing) {
      this.playback.pause();
    } else {
      if (current && current !== this && current.playback.playing) current.toggle();
      current = this;
      this.say("Preparing …");
      await this.playback.play();
      this.#follow();
    }
    this.show();
  }

  seek(seconds) {
    this.playback.seek(seconds);
    this.show();
  }

  choose(codebooks) {
    current = this;
    this.playback.choose(codebooks);
    for (const button of this.parts.switch.children) button.setAttribute("aria-pressed", String(Number(button.dataset.codebooks) === codebooks));
  }

  #follow() {
    this.show();
    if (this.playback.playing) requestAnimationFrame(() => this.#follow());
  }

  show() {
    const { position, time, play, strip } = this.parts, { playback } = this;
    this.place.classList.toggle("playing", playback.playing);
    play.setAttribute("aria-label", playback.playing ? "Pause" : "Play");
    position.value = playback.position;
    time.textContent = `${clock(playback.position)} / ${clock(playback.duration)}`;
    strip.style.setProperty("--at", playback.duration ? playback.position / playback.duration : 0);
  }

  say(text) {
    this.parts.status.textContent = text;
  }

  fail(error) {
    this.place.classList.remove("playing");
    this.parts.damage.textContent = `Cannot be played: ${error.message}.`;
    this.say("");
  }
}

const visible = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) if (isIntersecting) shown.get(target)?.open();
}, { rootMargin: "200px" });
const shown = new WeakMap();

function addCard(name, load) {
  const card = new Card(name, load);
  shown.set(card.place, card);
  visible.observe(card.place);
  return card;
}

for (const { name, path } of settings.files) {
  addCard(name, async () => {
    const answer = await fetch(path);
    if (!answer.ok) throw new Error(`${path} cannot be loaded (${answer.status})`);
    return new Uint8Array(await answer.arrayBuffer());
  });
}

document.addEventListener("keydown", (event) => {
  const card = current ?? shown.get(cards.firstElementChild);
  if (!card?.playback || event.ctrlKey || event.metaKey || event.altKey || event.target.closest("select, a, label, #theme, input:not([type=range])")) return;
  if (event.key === " ") card.toggle();
  else if (event.key === "ArrowLeft") card.seek(card.playback.position - 5);
  else if (event.key === "ArrowRight") card.seek(card.playback.position + 5);
  else return;
  event.preventDefault();
});

// Dropped sounds become files, in the page.
const zone = document.getElementById("drop"), picker = document.getElementById("picker"), told = document.getElementById("told");
const rate = document.getElementById("rate"), model = document.getElementById("model");

async function offerEncodings() {
  const { codebooks, kbps } = await client.call("describe", [model.value]), most = codebooks * kbps;
  const rates = [1 / 2, 1 / 3, 1 / 4, 1 / 6, 1 / 8].map((part) => part * most);
  rate.replaceChildren(new Option("all codes", Infinity), ...rates.map((each) => new Option(`at most ${kbit(each)}`, each)));
}

async function take(file) {
  try {
    if (file.name.endsWith(".nac")) return await addCard(file.name, async () => new Uint8Array(await file.arrayBuffer())).open();
    told.textContent = `Reading ${file.name} …`;
    const { rate: modelRate } = await client.call("describe", [model.value]);
    const context = new OfflineAudioContext(1, 1, modelRate);
    const sound = await context.decodeAudioData(await file.arrayBuffer()).catch(() => {
      throw new Error(`${file.name} is no sound that this browser reads`);
    });
    const channels = Array.from({ length: sound.numberOfChannels }, (_, i) => sound.getChannelData(i));
    const started = performance.now();
    const bytes = await client.call("encode", [model.value, channels, Number(rate.value)], (share) => {
      told.textContent = `Encoding ${file.name}: ${Math.round(100 * share)} %`;
    });
    told.textContent = `${file.name}: ${sound.duration.toFixed(1)} s encoded in ${((performance.now() - started) / 1000).toFixed(1)} s; ${size(bytes.length)}, ${kbit((8 * bytes.length) / 1000 / Math.max(0.1, sound.duration))}.`;
    const card = addCard(file.name.replace(/\.[^.]*$/, "") + ".nac", async () => bytes);
    await card.open();
    card.place.scrollIntoView({ block: "nearest" });
  } catch (error) {
    told.textContent = `${error.message}.`;
  }
}

const takeAll = async (files) => { for (const file of files) await take(file); };
picker.addEventListener("change", () => takeAll([...picker.files]));
zone.addEventListener("dragover", (event) => { event.preventDefault(); zone.classList.add("over-it"); });
zone.addEventListener("dragleave", () => zone.classList.remove("over-it"));
zone.addEventListener("drop", (event) => {
  event.preventDefault();
  zone.classList.remove("over-it");
  takeAll([...event.dataTransfer.files]);
});
model.addEventListener("change", offerEncodings);
offerEncodings().catch((error) => { told.textContent = `${error.message}.`; });
