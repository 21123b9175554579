"use strict";
// Rows in the order of a column: numbers by data-key, text by its letters, what is missing last.
// Equal ones keep the order that they had.
function inOrder(keys, descending) {
  const sign = descending ? -1 : 1;
  const numbers = keys.every((key) => key === "" || !isNaN(key));
  const compare = (a, b) => {
    if ((keys[a] === "") !== (keys[b] === "")) return keys[a] === "" ? 1 : -1;
    if (keys[a] === keys[b]) return 0;
    if (numbers) return sign * (Number(keys[a]) - Number(keys[b]));
    return sign * keys[a].localeCompare(keys[b], "en", { numeric: true });
  };
  return keys.map((_, i) => i).sort(compare);
}

function makeSortable(table) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const descending = head.getAttribute("aria-sort") === "ascending";
      const rows = [...body.rows];
      const keys = rows.map((row) => row.cells[column].dataset.key ?? row.cells[column].textContent);
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      body.append(...inOrder(keys, descending).map((i) => rows[i]));
    });
  });
}

// What is wider than its window is scrolled by the keyboard, too.
function makeReachable(part) {
  const wider = part.scrollWidth > part.clientWidth;
  for (const [name, value] of [["tabindex", "0"], ["role", "group"], ["aria-label", part.dataset.name]]) {
    if (wider) part.setAttribute(name, value);
    else part.removeAttribute(name);
  }
}

if (typeof document !== "undefined") {
  const scrolled = document.querySelectorAll(".scroll, .enlarge");
  const look = () => scrolled.forEach(makeReachable);
  document.querySelectorAll("table.sortable").forEach(makeSortable);
  window.addEventListener("load", look);
  window.addEventListener("resize", look);
}
