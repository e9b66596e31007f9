// Quality against what the reader chooses; a point tells its settings when it is pointed at or has the focus.
(() => {
  const { axes, quality, points } = JSON.parse(document.getElementById("points").textContent);
  const across = document.getElementById("across"), plot = document.getElementById("plot");
  const told = document.getElementById("told");
  const width = 900, height = 480, left = 70, right = 20, top = 20, bottom = 50;
  for (const [name, label] of Object.entries(axes)) across.append(new Option(label, name));

  const make = (name, attributes, text = "") => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.textContent = text;
    return element;
  };
  const scale = (values, from, to) => {
    let low = Math.min(...values), high = Math.max(...values);
    const room = 0.06 * (high - low) || 0.1 * Math.abs(high) || 1;
    low -= room; high += room;
    const place = (value) => from + ((value - low) / (high - low)) * (to - from);
    const step = 10 ** Math.floor(Math.log10((high - low) / 4));
    const nice = [1, 2, 5, 10].map((factor) => factor * step).find((size) => (high - low) / size <= 8);
    const ticks = [];
    for (let tick = Math.ceil(low / nice) * nice; tick <= high; tick += nice) ticks.push(+tick.toPrecision(6));
    return { place, ticks };
  };
  const draw = () => {
    const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": quality });
    const x = scale(points.map((point) => point[across.value]), left, width - right);
    const y = scale(points.map((point) => point.y), height - bottom, top);
    for (const tick of x.ticks) {
      svg.append(make("line", { x1: x.place(tick), x2: x.place(tick), y1: top, y2: height - bottom }));
      svg.append(make("text", { x: x.place(tick), y: height - bottom + 18, "text-anchor": "middle" }, tick.toLocaleString()));
    }
    for (const tick of y.ticks) {
      svg.append(make("line", { x1: left, x2: width - right, y1: y.place(tick), y2: y.place(tick) }));
      svg.append(make("text", { x: left - 8, y: y.place(tick) + 4, "text-anchor": "end" }, tick.toLocaleString()));
    }
    svg.append(make("text", { x: (left + width) / 2, y: height - 10, "text-anchor": "middle" }, axes[across.value]));
    svg.append(make("text", { transform: `translate(16 ${height / 2}) rotate(-90)`, "text-anchor": "middle" }, quality));
    for (const point of [...points].sort((one, other) => one.front - other.front)) {
      const kind = ["point", point.default ? "default" : point.arm, point.front ? "front" : "", point.pale ? "pale" : ""];
      const circle = make("circle", {
        cx: x.place(point[across.value]), cy: y.place(point.y), r: point.default ? 9 : 6, tabindex: 0, role: "img",
        class: kind.filter(Boolean).join(" "), "aria-label": [point.name, ...point.lines].join(", "),
      });
      const tell = () => { told.textContent = [point.name, ...point.lines].join("\n"); };
      circle.addEventListener("pointerenter", tell);
      circle.addEventListener("focus", tell);
      svg.append(circle);
    }
    plot.replaceChildren(svg);
  };
  across.addEventListener("change", draw);
  if (points.length) draw();
})();
