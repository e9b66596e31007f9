// A listening test: trials in random order, versions in random order, all of a trial playing from one clock.
(() => {
  const { test, kind, trials } = JSON.parse(document.getElementById("test").textContent);
  const mushra = kind === "mushra", words = ["bad", "poor", "fair", "good", "excellent"];
  const element = (id) => document.getElementById(id);
  const shuffled = (list) => {
    const order = [...list];
    for (let i = order.length - 1; i > 0; i--) {
      const j = crypto.getRandomValues(new Uint32Array(1))[0] % (i + 1);
      [order[i], order[j]] = [order[j], order[i]];
    }
    return order;
  };
  const random = (one, other) => shuffled([one, other])[0];
  const bytes = (address) => Uint8Array.from(atob(address.split(",")[1]), (c) => c.charCodeAt(0)).buffer;
  const store = `lathe-listening-${test}`;
  const kept = () => { try { return JSON.parse(localStorage.getItem(store)); } catch { return null; } };
  const keep = (value) => { try { localStorage.setItem(store, JSON.stringify(value)); } catch { /* no storage: the test cannot be resumed */ } };

  let state = kept() ?? { listener: "", order: shuffled(trials.map((_, i) => i)), answers: [] };
  let context = null, sources = [], gains = [], buffers = [], rows = [], chosen = 0, started = 0, offset = 0, run = 0, answer = null;
  element("listener").value = state.listener;
  if (state.answers.length) element("begin").textContent = "Continue";

  const playing = () => sources.length > 0;
  const length = () => buffers[0]?.duration ?? 0;
  const now = () => (playing() ? (offset + Math.max(0, context.currentTime - started)) % length() : offset);
  const show = () => { element("play").textContent = playing() ? "Pause" : "Play"; element("position").value = now(); };
  const follow = () => { if (playing()) { show(); requestAnimationFrame(follow); } };
  const stop = () => {
    offset = now();
    for (const source of sources) source.stop();
    sources = [];
    show();
  };
  const start = async () => {
    await context.resume();
    if (playing() || !buffers.length) return;
    started = context.currentTime + 0.02;
    gains = buffers.map((_, i) => new GainNode(context, { gain: i === chosen ? 1 : 0 }));
    sources = buffers.map((buffer, i) => {
      const source = new AudioBufferSourceNode(context, { buffer, loop: true });
      source.connect(gains[i]).connect(context.destination);
      source.start(started, offset);
      return source;
    });
    follow();
  };
  const choose = (number) => {
    if (number >= rows.length) return;
    chosen = number;
    rows.forEach(({ button }, i) => button.setAttribute("aria-pressed", String(i === number)));
    gains.forEach(({ gain }, i) => gain.setTargetAtTime(i === number ? 1 : 0, context.currentTime, 0.004));
    if (!playing()) start();
  };

  const addRow = (name, i) => {
    const row = document.createElement("div"), button = document.createElement("button");
    row.className = "version";
    button.type = "button";
    button.textContent = name;
    button.addEventListener("click", () => choose(i));
    row.append(button);
    element("versions").append(row);
    return { row, button };
  };
  const check = () => {
    const missing = mushra
      ? Object.keys(answer.ratings).length < rows.length - 1 ? "Rate every version."
        : Math.max(...Object.values(answer.ratings)) < 100 ? "One version is the reference: give it 100." : ""
      : answer.right === undefined ? "Choose A or B." : "";
    element("missing").textContent = missing;
    element("next").disabled = missing !== "";
  };
  const begin = async () => {
    if (playing()) stop();
    element("start").hidden = true;
    const done = state.answers.length === trials.length;
    element("trial").hidden = done;
    element("end").hidden = !done;
    if (done) return;
    const mine = ++run, trial = trials[state.order[state.answers.length]];
    element("number").textContent = state.answers.length + 1;
    element("versions").replaceChildren();
    const stimuli = shuffled(trial.stimuli);
    const x = mushra ? null : random(...stimuli);
    const sounds = mushra ? [trial.reference, ...stimuli.map((one) => one.sound)] : [...stimuli.map((one) => one.sound), x.sound];
    buffers = [];
    rows = sounds.map((_, i) => addRow(mushra ? (i ? `Version ${i}` : "Reference") : "ABX"[i], i));
    answer = mushra ? { ratings: {} } : { codes: trial.stimuli.map((one) => one.code), right: undefined };
    if (mushra) {
      stimuli.forEach(({ code }, i) => {
        const slider = document.createElement("input"), shown = document.createElement("output");
        Object.assign(slider, { type: "range", min: 0, max: 100, step: 1, value: 0 });
        slider.setAttribute("aria-label", `Rating of version ${i + 1}`);
        slider.addEventListener("input", () => {
          answer.ratings[code] = Number(slider.value);
          shown.textContent = `${slider.value} ${words[Math.min(4, Math.floor(slider.value / 20))]}`;
          check();
        });
        shown.textContent = "not rated";
        rows[i + 1].row.append(slider, shown);
      });
    } else {
      const row = document.createElement("div");
      row.className = "version";
      stimuli.forEach((one, i) => {
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = `X is ${"AB"[i]}`;
        button.addEventListener("click", () => {
          answer.right = one === x;
          for (const other of row.children) other.setAttribute("aria-pressed", String(other === button));
          check();
        });
        row.append(button);
      });
      element("versions").append(row);
    }
    offset = chosen = 0;
    rows[0].button.setAttribute("aria-pressed", "true");
    check();
    context ??= new AudioContext();
    const decoded = await Promise.all(sounds.map((sound) => context.decodeAudioData(bytes(sound))));
    if (mine !== run) return;
    buffers = decoded;
    element("position").max = length();
    show();
  };
  element("begin").addEventListener("click", () => {
    state.listener = element("listener").value.trim();
    if (!state.listener) { element("listener").focus(); return; }
    keep(state);
    begin();
  });
  element("play").addEventListener("click", () => (playing() ? stop() : start()));
  element("position").addEventListener("input", () => {
    const resume = playing();
    if (resume) stop();
    offset = Number(element("position").value);
    if (resume) start();
  });
  element("next").addEventListener("click", () => {
    state.answers.push({ ...answer });
    keep(state);
    begin();
  });
  element("download").addEventListener("click", () => {
    const content = JSON.stringify({ test, kind, listener: state.listener, made: new Date().toISOString(), trials: state.answers }, null, 1);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([content], { type: "application/json" }));
    link.download = `answers-${state.listener.replace(/[^\w-]+/g, "_")}-${test.slice(0, 6)}.json`;
    link.click();
  });
  const typing = (event) => event.target.id === "listener" || event.ctrlKey || event.metaKey || event.altKey;
  document.addEventListener("keydown", (event) => {
    if (typing(event) || element("trial").hidden) return;
    const key = event.key.toUpperCase(), number = mushra ? "0123456789".indexOf(key) : "ABX".indexOf(key);
    if (key === " ") playing() ? stop() : start();
    else if (number >= 0) choose(number);
    else return;
    event.preventDefault();
  });
  document.addEventListener("keyup", (event) => { if (event.key === " " && !typing(event) && !element("trial").hidden) event.preventDefault(); });
})();
