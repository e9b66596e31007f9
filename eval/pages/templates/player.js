// All sounds of a clip play from one clock, all but one silent, so that switching is instant and the position the same.
(() => {
  let context = null, current = null;
  const bytes = (address) => Uint8Array.from(atob(address.split(",")[1]), (c) => c.charCodeAt(0)).buffer;
  const players = [...document.querySelectorAll(".ab")].map((place) => {
    const sounds = [...place.querySelectorAll("audio")];
    const play = place.querySelector(".play"), position = place.querySelector(".position");
    const choices = [...place.querySelectorAll(".switch button")];
    let buffers = null, sources = [], gains = [], started = 0, offset = 0, chosen = choices.findIndex((choice) => choice.ariaPressed === "true");
    place.querySelector(".sources").hidden = true;
    place.querySelector(".controls").hidden = false;

    const playing = () => sources.length > 0;
    const now = () => (playing() ? Math.max(0, context.currentTime - started) + offset : offset);
    const show = () => {
      place.classList.toggle("playing", playing());
      play.setAttribute("aria-label", playing() ? "Pause" : "Play");
      position.value = now();
      place.style.setProperty("--at", now() / position.max);
    };
    const follow = () => { if (playing()) { show(); requestAnimationFrame(follow); } };
    const stop = () => {
      offset = now();
      for (const source of sources) { source.onended = null; source.stop(); }
      sources = [];
      show();
    };
    const start = async () => {
      context ??= new AudioContext();
      await context.resume();
      buffers ??= await Promise.all(sounds.map((sound) => context.decodeAudioData(bytes(sound.src))));
      for (const player of players) player.stop();
      current = player;
      if (offset >= buffers[0].duration - 0.02) offset = 0;
      started = context.currentTime + 0.02;
      gains = sounds.map((sound, i) => new GainNode(context, { gain: i === chosen ? Number(sound.dataset.gain) : 0 }));
      sources = buffers.map((buffer, i) => {
        const source = new AudioBufferSourceNode(context, { buffer });
        source.connect(gains[i]).connect(context.destination);
        source.start(started, offset);
        return source;
      });
      sources[0].onended = () => { stop(); offset = 0; show(); };
      follow();
    };
    const seek = (time) => {
      const resume = playing();
      if (resume) stop();
      offset = Math.min(Math.max(0, time), Number(position.max));
      show();
      if (resume) start();
    };
    const choose = (number) => {
      if (number >= sounds.length) return;
      chosen = number;
      choices.forEach((other, i) => other.setAttribute("aria-pressed", String(i === number)));
      gains.forEach(({ gain }, i) => gain.setTargetAtTime(i === number ? Number(sounds[i].dataset.gain) : 0, context.currentTime, 0.004));
    };
    play.addEventListener("click", () => (playing() ? stop() : start()));
    position.addEventListener("input", () => seek(Number(position.value)));
    choices.forEach((button, i) => button.addEventListener("click", () => { current = player; choose(i); }));
    for (const picture of place.querySelectorAll(".picture")) {
      picture.addEventListener("click", (event) => { current = player; seek((event.offsetX / picture.clientWidth) * position.max); });
    }
    const player = { place, stop, seek, choose, now, toggle: () => (playing() ? stop() : start()) };
    return player;
  });

  // Keys go to the player used last, or else to the first that is there.
  document.addEventListener("keydown", (event) => {
    const shown = players.filter(({ place }) => !place.hidden);
    const player = shown.includes(current) ? current : shown[0];
    if (!player || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === " ") player.toggle();
    else if (event.target.closest("select, input, summary")) return;
    else if (event.key === "ArrowLeft") player.seek(player.now() - 1);
    else if (event.key === "ArrowRight") player.seek(player.now() + 1);
    else if (event.key >= "1" && event.key <= "9") player.choose(Number(event.key) - 1);
    else return;
    event.preventDefault();
  });

  // Or else a browser presses the button that has the focus when the space bar is let go.
  document.addEventListener("keyup", (event) => { if (event.key === " " && players.length) event.preventDefault(); });

  // The clips of the view that is chosen, in its order, each with what it is there.
  const view = document.getElementById("view");
  if (view) {
    const show = () => {
      const ranks = JSON.parse(view.selectedOptions[0].dataset.ranks);
      for (const { place, stop } of players) {
        const rank = ranks[place.dataset.clip];
        if (rank === undefined) stop();
        place.hidden = rank === undefined;
        place.querySelector(".rank").textContent = rank ?? "";
      }
      const list = players[0].place.parentElement;
      const places = Object.fromEntries(players.map(({ place }) => [place.dataset.clip, place]));
      list.append(...JSON.parse(view.selectedOptions[0].dataset.order).map((clip) => places[clip]));
    };
    view.closest("[hidden]").hidden = false;
    view.addEventListener("change", show);
    show();
  }
})();
