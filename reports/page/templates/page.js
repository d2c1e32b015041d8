
"use strict";
/* Sorting, filtering, figures on hover, and copying. The page is whole without it. */

function made(name, properties) {
  return Object.assign(document.createElement(name), properties);
}

const SECONDS = { d: 86400, h: 3600, min: 60, s: 1 };

/* Figures by their value, times (`4 min 05`, `3 d 04 h`) by their length, all else by its letters. */
function value(cell) {
  const text = (cell.querySelector(".figure") || cell).textContent.trim();
  const time = text.match(/^(\d+) (d|h|min|s)(?: (\d+))?/);
  if (time) {
    const smaller = { d: "h", h: "min", min: "s" }[time[2]];
    return time[1] * SECONDS[time[2]] + (time[3] || 0) * (SECONDS[smaller] || 0);
  }
  const figure = text.match(/^(?:< )?([+-]?[\d,]*\.?\d+(?:e[+-]?\d+)?)(?= |$)/);
  return figure ? parseFloat(figure[1].replaceAll(",", "")) : text;
}

function compare(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
  return a.localeCompare(b);
}

function sortable(table) {
  const body = table.tBodies[0], rows = [...body.rows];
  if (rows.length < 2) return;
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    // Beside the text, for what stands in a button is not repeated on a further page of paper.
    const ariaLabel = "Sort by " + head.textContent.trim();
    head.append("\u2060", made("button", { type: "button", ariaLabel }));  // a word joiner
    head.addEventListener("click", () => {
      const next = { ascending: "descending", descending: "" };
      const order = head.ariaSort in next ? next[head.ariaSort] : "ascending";
      for (const each of table.tHead.rows[0].cells) each.removeAttribute("aria-sort");
      if (order) head.setAttribute("aria-sort", order);
      const sign = order === "descending" ? -1 : 1;
      const empty = (row) => !row.cells[column].textContent.trim();
      const keys = new Map(rows.map((row) => [row, value(row.cells[column])]));
      const sorted = !order ? rows : [...rows].sort((a, b) =>
        empty(a) - empty(b) || sign * compare(keys.get(a), keys.get(b)));
      body.append(...sorted);
    });
  });
}

function filterable(table, box, name) {
  const rows = [...table.tBodies[0].rows];
  if (rows.length < 6) return;
  const input = made("input", { type: "search", placeholder: "Filter rows", ariaLabel: "Filter the rows of " + name });
  const said = made("span", { ariaLive: "polite" });
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
    const shown = rows.filter((row) => !row.hidden).length;
    said.textContent = words.length ? `${shown} of ${rows.length} rows` : "";
  });
  const tools = made("div", { className: "tools filter" });
  tools.append(input, said);
  box.prepend(tools);
}

function copyable(tools, name) {
  const source = tools.querySelector("pre");
  const button = made("button", { type: "button", textContent: "Copy as Markdown", ariaLabel: "Copy as Markdown: " + name });
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(source.textContent);
    } catch {  // an older browser, or one that does not trust files
      source.parentElement.open = true;
      getSelection().selectAllChildren(source);
      document.execCommand("copy");
    }
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy as Markdown"; }, 1500);
  });
  tools.prepend(button);
}

for (const each of document.querySelectorAll(".table")) {
  const table = each.querySelector("table"), tools = each.querySelector(".tools");
  copyable(tools, table.caption.textContent);
  filterable(table, each, table.caption.textContent);
  sortable(table);
}

const told = made("div", { className: "told", hidden: true });
document.body.append(told);
function tell(event) {
  const cell = event.target.closest ? event.target.closest("[data-told]") : null;
  told.hidden = !cell;
  if (!cell) return;
  told.textContent = cell.dataset.told;
  const at = cell.getBoundingClientRect(), size = told.getBoundingClientRect();
  told.style.left = Math.max(8, Math.min(at.left, innerWidth - size.width - 8)) + "px";
  told.style.top = (at.bottom + size.height + 8 < innerHeight ? at.bottom + 4 : at.top - size.height - 4) + "px";
}
document.addEventListener("mouseover", tell);
document.addEventListener("click", tell);
document.addEventListener("scroll", () => { told.hidden = true; }, true);
document.addEventListener("keydown", (event) => { if (event.key === "Escape") told.hidden = true; });

/* A page that reloads itself keeps open what was opened. */
if (document.querySelector("meta[http-equiv=refresh]")) {
  const all = [...document.querySelectorAll("details")];
  try {
    for (const at of JSON.parse(sessionStorage.getItem("open") || "[]")) if (all[at]) all[at].open = true;
    addEventListener("pagehide", () => {
      const open = all.map((each, at) => (each.open ? at : -1)).filter((at) => at >= 0);
      sessionStorage.setItem("open", JSON.stringify(open));
    });
  } catch { /* without a store nothing is kept */ }
}
