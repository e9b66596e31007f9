// Curves of the metric that is chosen.
(() => {
  const chosen = document.getElementById("curve-metric");
  if (!chosen) return;
  const show = () => {
    for (const figure of document.querySelectorAll("figure[data-metric]")) figure.hidden = figure.dataset.metric !== chosen.value;
  };
  chosen.closest("[hidden]").hidden = false;
  chosen.addEventListener("change", show);
  show();
})();
