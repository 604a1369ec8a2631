"use strict";
// Heads of columns become buttons that sort; without this script the tables are there all the same.
const said = document.querySelector(".said");

const key = (row, column) => {
  const cell = row.cells[column];
  const number = cell.dataset.number;
  return number === undefined ? cell.textContent : Number(number);
};

// What is not known stands last, whichever way the rows are sorted.
const compare = (a, b, sign) => {
  const numbers = [typeof a === "number", typeof b === "number"];
  if (numbers[0] !== numbers[1]) return numbers[0] ? -1 : 1;
  return sign * (numbers[0] ? a - b : a.localeCompare(b, "en", { numeric: true }));
};

const sort = (table, head) => {
  const column = head.cellIndex;
  const numeric = head.classList.contains("number");
  const before = head.getAttribute("aria-sort");
  const order = before === null ? (numeric ? "descending" : "ascending")
    : before === "ascending" ? "descending" : "ascending";
  const body = table.tBodies[0];
  const rows = Array.from(body.rows, (row) => [key(row, column), row]);
  rows.sort(([a], [b]) => compare(a, b, order === "ascending" ? 1 : -1));
  body.append(...rows.map(([, row]) => row));
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", order);
  said.textContent = `sorted by ${head.textContent}, ${order}`;
};

for (const table of document.querySelectorAll("table.sortable")) {
  for (const head of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sort(table, head));
    head.append(button);
  }
}

// Long tables show their first rows, of whatever order; a button shows all.
const LONG = 15;
for (const table of document.querySelectorAll("table")) {
  const rows = table.tBodies[0].rows.length;
  if (rows <= LONG) continue;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "unfold";
  const fold = (folded) => {
    table.classList.toggle("folded", folded);
    button.textContent = folded ? `show all ${rows} rows` : "show the first rows alone";
    button.setAttribute("aria-expanded", String(!folded));
  };
  button.addEventListener("click", () => fold(!table.classList.contains("folded")));
  table.parentElement.after(button);
  fold(true);
}

// What scrolls by itself can be reached by the keyboard, and what does not is no stop on the way.
const stops = () => {
  for (const box of document.querySelectorAll(".scroll")) {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  }
};
addEventListener("resize", stops);
stops();
