// Sorting of tables, and nothing else: every heading of a sortable table becomes a button.
(function () {
  "use strict";
  function key(row, column) {
    var cell = row.cells[column];
    if (!cell) { return null; }
    var stated = cell.getAttribute("data-sort");
    var text = stated === null ? cell.textContent.trim() : stated;
    var number = text === "" ? NaN : Number(text);
    return Number.isNaN(number) ? text : number;
  }
  function compare(a, b) {
    if (typeof a === "number" && typeof b === "number") { return a - b; }
    if (typeof a !== typeof b) { return typeof a === "number" ? -1 : 1; }
    return String(a).localeCompare(String(b), "en", { numeric: true });
  }
  function sort(table, heading, column) {
    var rising = heading.getAttribute("aria-sort") !== "ascending";
    var body = table.tBodies[0];
    var rows = Array.from(body.rows).map(function (row, place) { return { row: row, key: key(row, column), place: place }; });
    rows.sort(function (one, other) {
      if (one.key === "" || other.key === "") { return (one.key === "") - (other.key === "") || one.place - other.place; }
      return (rising ? 1 : -1) * compare(one.key, other.key) || one.place - other.place;
    });
    rows.forEach(function (item) { body.appendChild(item.row); });
    table.querySelectorAll("thead th").forEach(function (other) { other.removeAttribute("aria-sort"); });
    heading.setAttribute("aria-sort", rising ? "ascending" : "descending");
  }
  document.querySelectorAll("table.sortable").forEach(function (table) {
    table.querySelectorAll("thead th").forEach(function (heading, column) {
      if (!heading.textContent.trim()) { return; }
      var button = document.createElement("button");
      button.type = "button";
      button.append.apply(button, Array.from(heading.childNodes));
      button.addEventListener("click", function () { sort(table, heading, column); });
      heading.append(button);
    });
  });
})();
