// Of every page: light or dark by button, and tables of class "sortable".
(() => {
  const root = document.documentElement, theme = document.getElementById("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const label = () => { theme.textContent = dark() ? "Light" : "Dark"; };
  theme.hidden = false;
  theme.addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; label(); });
  system.addEventListener("change", label);
  label();

  // A cell's value is its data-v, or else its text. A column whose cells all begin with a number is sorted by it;
  // cells without a value stay last either way.
  const number = /^[+\-−]?\d[\d,]*(\.\d+)?(e[+-]?\d+)?/i;
  const read = (cell) => (cell.dataset.v ?? cell.textContent).trim().replace(/^–$/, "");
  const parse = (text) => Number(text.match(number)[0].replaceAll(",", "").replace("−", "-"));
  const order = (body, column, down) => {
    const rows = [...body.rows].map((row) => ({ row, text: read(row.cells[column]) }));
    const known = rows.filter(({ text }) => text), unknown = rows.filter(({ text }) => !text);
    const numeric = known.every(({ text }) => number.test(text));
    known.sort((a, b) => (down ? -1 : 1) * ((numeric && parse(a.text) - parse(b.text))
      || a.text.localeCompare(b.text, undefined, { numeric: true })));
    body.append(...[...known, ...unknown].map(({ row }) => row));
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        order(table.tBodies[0], column, down);
      });
    });
  }
})();
