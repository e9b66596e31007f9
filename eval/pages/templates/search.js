// Shows one chart at a time, and the settings of the candidate that is pointed at or has the focus.
(() => {
  const { points } = JSON.parse(document.getElementById("points").textContent);
  const across = document.getElementById("across"), details = document.getElementById("details");
  const charts = [...document.querySelectorAll("[data-chart]")];
  across.closest("label").hidden = false;

  const show = () => { for (const chart of charts) chart.hidden = chart.dataset.chart !== across.value; };
  across.addEventListener("change", show);
  show();

  for (const chart of charts) {
    for (const point of points) {
      for (const kind of ["genetic", "random", "default"]) {
        for (const mark of chart.querySelectorAll(`[id="${chart.dataset.chart}-${kind}-${point.key}"]`)) {
          const describe = () => { details.textContent = [point.name, ...point.lines].join("\n"); };
          mark.classList.add("point");
          mark.setAttribute("tabindex", 0);
          mark.setAttribute("role", "img");
          mark.setAttribute("aria-label", [point.name, ...point.lines].join(", "));
          mark.addEventListener("pointerenter", describe);
          mark.addEventListener("focus", describe);
        }
      }
    }
  }
})();
