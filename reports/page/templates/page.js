
"use strict";
/* Sorting, filtering, figures on hover, copying, and what a reload keeps. The page is whole without it. */

function made(name, properties) {
  return Object.assign(document.createElement(name), properties);
}

const SECONDS = { d: 86400, h: 3600, min: 60, s: 1 };

/* Figures by their value, times (`4 min 05`, `3 d 04 h`) by their length, all else by its letters. */
function value(cell) {
  const text = (cell.querySelector(".figure") || cell.querySelector("summary") || cell).textContent.trim();
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

/* What of a row or a cell is shown at once, and not on a click. */
function shown(cell) {
  return (cell.querySelector("summary") || cell).textContent.trim();
}

function sortable(table) {
  const body = table.tBodies[0], rows = [...body.rows], heads = [...table.tHead.rows[0].cells];
  const names = heads.map((head) => head.textContent.trim());
  if (rows.length < 2) return null;
  function sort(column, order) {
    for (const each of heads) each.removeAttribute("aria-sort");
    if (order) heads[column].setAttribute("aria-sort", order);
    const sign = order === "descending" ? -1 : 1;
    const empty = (row) => !shown(row.cells[column]);
    const keys = new Map(rows.map((row) => [row, value(row.cells[column])]));
    const sorted = !order ? rows : [...rows].sort((a, b) =>
      empty(a) - empty(b) || sign * compare(keys.get(a), keys.get(b)));
    body.append(...sorted);
  }
  heads.forEach((head, column) => {
    // Beside the text, for what stands in a button is not repeated on a further page of paper.
    head.append(made("button", { type: "button", ariaLabel: "Sort by " + names[column] }));
    head.addEventListener("click", () => {
      const next = { ascending: "descending", descending: "" };
      sort(column, head.ariaSort in next ? next[head.ariaSort] : "ascending");
    });
  });
  return {
    get: () => heads.flatMap((head, at) => (head.ariaSort ? [[names[at], head.ariaSort]] : []))[0],
    set: ([name, order]) => { if (names.includes(name)) sort(names.indexOf(name), order); },
  };
}

function filterable(table, box, name) {
  const rows = [...table.tBodies[0].rows];
  if (rows.length < 6) return null;
  const input = made("input", { type: "search", placeholder: "Filter rows", ariaLabel: "Filter the rows of " + name });
  const said = made("span", { ariaLive: "polite" });
  function filter() {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows) {
      const text = [...row.cells].map(shown).join(" ").toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
    const left = rows.filter((row) => !row.hidden).length;
    said.textContent = words.length ? `${left} of ${rows.length} rows` : "";
  }
  input.addEventListener("input", filter);
  const tools = made("div", { className: "tools filter" });
  tools.append(input, said);
  box.prepend(tools);
  return {
    get: () => [input.value, document.activeElement === input],
    set: ([words, isFocused]) => {
      input.value = words;
      filter();
      if (isFocused) input.focus({ preventScroll: true });
    },
  };
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
  tools.classList.add("scripted");
}

const parts = {};  // what can be kept over a reload, by what it is of
function keep(name, part) {
  let key = name;
  for (let count = 2; key in parts; count++) key = `${name} (${count})`;
  if (part) parts[key] = part;
}

for (const each of document.querySelectorAll(".table")) {
  const table = each.querySelector("table"), tools = each.querySelector(".tools");
  const name = table.caption.textContent, scroll = each.querySelector(".scroll");
  copyable(tools, name);
  keep("filter " + name, filterable(table, each, name));
  keep("sort " + name, sortable(table));
  keep("scroll " + name, { get: () => scroll.scrollLeft, set: (at) => { scroll.scrollLeft = at; } });
}

/* A fold is known by where it stands: figures in its name, and the number of jobs, may change. */
for (const each of document.querySelectorAll("details")) {
  const cell = each.closest("td"), section = each.closest("section");
  const of = cell
    ? [cell.closest("table").caption.textContent, cell.parentElement.cells[0].textContent, cell.cellIndex]
    : [section && section.getAttribute("aria-labelledby"), each.firstElementChild.textContent.replace(/[\d,]+/g, "#")];
  keep("open " + of.join(" | "), { get: () => each.open || undefined, set: (isOpen) => { each.open = isOpen; } });
}

keep("page", { get: () => scrollY, set: (at) => { scrollTo(0, at); } });

const told = made("div", { className: "told", hidden: true });
document.body.append(told);
function tell(event) {
  const cell = event.target.closest ? event.target.closest("td:has(> .cell:not([open]))") : null;
  told.hidden = !cell;
  if (!cell) return;
  const said = cell.querySelector(".cell > p:not(.sources)");
  const more = cell.querySelector(".cell > .sources") ? "Click: the runs that it rests on." : "";
  told.textContent = [said && said.textContent, more].filter(Boolean).join("\n");
  const at = cell.getBoundingClientRect(), size = told.getBoundingClientRect();
  told.style.left = Math.max(8, Math.min(at.left, innerWidth - size.width - 8)) + "px";
  told.style.top = (at.bottom + size.height + 8 < innerHeight ? at.bottom + 4 : at.top - size.height - 4) + "px";
}
document.addEventListener("mouseover", tell);
document.addEventListener("focusin", tell);
document.addEventListener("click", () => { told.hidden = true; });
document.addEventListener("scroll", () => { told.hidden = true; }, true);
document.addEventListener("keydown", (event) => { if (event.key === "Escape") told.hidden = true; });

/* A reload keeps what was sorted, filtered, opened and scrolled, where the browser lets it. */
const STORE = "kept " + location.pathname;
try {
  const [visit] = performance.getEntriesByType("navigation");
  const kept = visit && visit.type === "reload" ? JSON.parse(sessionStorage.getItem(STORE)) : null;
  for (const [name, value] of Object.entries(kept || {})) if (name in parts) parts[name].set(value);
  if (kept) history.scrollRestoration = "manual";
  addEventListener("pagehide", () => {
    const now = Object.entries(parts).map(([name, part]) => [name, part.get()]);
    sessionStorage.setItem(STORE, JSON.stringify(Object.fromEntries(now)));
  });
} catch { /* without a store nothing is kept */ }

/* While a runner works. The longer nothing new is written the more seldom, and after a day no more:
   a runner that was killed tells nobody. */
const DAY = 86400, LONG = 600;  // seconds
const seconds = Number(document.documentElement.dataset.reload);
if (seconds) {
  const age = (Date.now() - Date.parse(document.querySelector("footer time").dateTime)) / 1000;
  if (age < DAY) setTimeout(() => location.reload(), 1000 * Math.max(seconds, age / 10));
  if (age > LONG) {
    const since = age < 2 * 3600 ? `${Math.round(age / 60)} minutes` : `${Math.round(age / 3600)} hours`;
    const said = `Nothing new was written for ${since}: a job takes long, or the runner was killed. --watch tells which.`;
    document.querySelector(".live").append(made("span", { className: "age", textContent: said }));
  }
}
