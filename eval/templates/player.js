// All versions of a sound play from one clock, all but one silent, so that switching is instant and the position the
// same.
(() => {
  let context = null, stopOther = () => {};
  const bytes = (address) => Uint8Array.from(atob(address.split(",")[1]), (c) => c.charCodeAt(0)).buffer;

  for (const player of document.querySelectorAll(".ab")) {
    const addresses = [...player.querySelectorAll("audio")].map((audio) => audio.src);
    const play = player.querySelector(".play"), position = player.querySelector("input");
    const choices = [...player.querySelectorAll(".switch button")];
    let buffers = null, sources = [], gains = [], started = 0, offset = 0;
    let chosen = choices.findIndex((button) => button.getAttribute("aria-pressed") === "true");
    player.querySelector(".sources").hidden = true;
    player.querySelector(".controls").hidden = false;

    const playing = () => sources.length > 0;
    const now = () => (playing() ? Math.max(0, context.currentTime - started) + offset : offset);
    const show = () => {
      player.classList.toggle("playing", playing());
      play.setAttribute("aria-label", playing() ? "Pause" : "Play");
    };
    const stop = () => {
      offset = now();
      for (const source of sources) { source.onended = null; source.stop(); }
      sources = [];
      show();
    };
    const follow = () => {
      if (!playing()) return;
      position.value = now();
      requestAnimationFrame(follow);
    };
    const start = async () => {
      context ??= new AudioContext();
      await context.resume();
      buffers ??= await Promise.all(addresses.map((address) => context.decodeAudioData(bytes(address))));
      stopOther();
      stopOther = stop;
      if (offset >= buffers[0].duration - 0.02) offset = 0;
      started = context.currentTime + 0.02;
      gains = buffers.map((_, i) => new GainNode(context, { gain: i === chosen ? 1 : 0 }));
      sources = buffers.map((buffer, i) => {
        const source = new AudioBufferSourceNode(context, { buffer });
        source.connect(gains[i]).connect(context.destination);
        source.start(started, offset);
        return source;
      });
      sources[0].onended = () => { stop(); offset = 0; position.value = 0; };
      show();
      follow();
    };
    play.addEventListener("click", () => (playing() ? stop() : start()));
    position.addEventListener("input", () => {
      const resume = playing();
      if (resume) stop();
      offset = Number(position.value);
      if (resume) start();
    });
    choices.forEach((button, i) => button.addEventListener("click", () => {
      chosen = i;
      choices.forEach((other, j) => other.setAttribute("aria-pressed", String(i === j)));
      gains.forEach((gain, j) => gain.gain.setTargetAtTime(i === j ? 1 : 0, context.currentTime, 0.004));
    }));
  }
})();
