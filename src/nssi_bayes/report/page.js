// Without this script everything is on the page; with it tables sort, switches switch, and plots tell values.
(() => {
  "use strict";
  const value = (cell) => {
    const text = cell.textContent.trim();
    const plain = text.replace(/\u2212/g, "-").replace(/^[<>]/, "").replace(/\u00a0/g, " ");
    const number = parseFloat(plain);
    return Number.isNaN(number) ? text.toLowerCase() : number;
  };
  const compare = (a, b) => (typeof a === typeof b ? (a > b) - (a < b) : typeof a === "number" ? -1 : 1);

  const sort = (table, column, head, heads) => {
    const down = head.getAttribute("aria-sort") === "ascending";
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    let group = [];
    const flush = (before) => {
      group.map((row) => [value(row.cells[column]), row])
        .sort((a, b) => (down ? -1 : 1) * compare(a[0], b[0]))
        .forEach(([, row]) => row.parentNode.insertBefore(row, before));
      group = [];
    };
    [...table.tBodies].forEach((body) => {
      [...body.rows].forEach((row) => {
        const heading = row.cells.length === 1 || row.classList.contains("gt_group_heading_row");
        if (heading) flush(row); else group.push(row);
      });
      flush(null);
    });
  };

  document.querySelectorAll("table.gt_table, table.items").forEach((table) => {
    const rows = table.tHead ? [...table.tHead.rows] : [];
    if (!rows.length || !table.tBodies.length) return;
    const width = Math.max(...[...table.tBodies[0].rows].map((row) => row.cells.length));
    if (width < 2 || table.tBodies[0].rows.length < 2) return;
    // a heading over two rows, or over two columns, moves what stands under it
    const grid = rows.map(() => []);
    rows.forEach((row, r) => {
      let c = 0;
      [...row.cells].forEach((cell) => {
        while (grid[r][c]) c += 1;
        for (let i = 0; i < cell.rowSpan; i += 1) {
          for (let j = 0; j < cell.colSpan; j += 1) if (grid[r + i]) grid[r + i][c + j] = cell;
        }
        c += cell.colSpan;
      });
    });
    const heads = grid[grid.length - 1].map((cell) => (cell && cell.colSpan === 1 ? cell : null));
    heads.forEach((head, column) => {
      if (!head || head.tagName !== "TH" || !head.textContent.trim()) return;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => sort(table, column, head, heads.filter(Boolean)));
    });
  });

  document.querySelectorAll(".switch").forEach((box) => {
    const options = [...box.children].filter((child) => child.classList.contains("option"));
    if (options.length < 2) return;
    const set = document.createElement("fieldset");
    set.className = "choice";
    const legend = document.createElement("legend");
    legend.textContent = "Show";
    set.append(legend);
    const show = (chosen) => {
      options.forEach((option) => { option.hidden = option !== chosen; });
      set.querySelectorAll("button").forEach((button, i) => button.setAttribute("aria-pressed", String(options[i] === chosen)));
    };
    options.forEach((option) => {
      const name = option.querySelector("h4");
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = name.textContent;
      name.hidden = true;
      button.addEventListener("click", () => show(option));
      set.append(button);
    });
    box.prepend(set);
    show(options[0]);
  });

  const tip = document.createElement("div");
  tip.id = "tip";
  tip.hidden = true;
  tip.setAttribute("aria-hidden", "true"); // the same stands in the picture's words and in a table
  document.body.append(tip);
  const place = (event) => {
    const spot = event.target.closest && event.target.closest(".spot");
    tip.hidden = !spot;
    if (!spot) return;
    tip.textContent = spot.dataset.v;
    const wide = tip.offsetWidth;
    tip.style.left = `${Math.max(4, Math.min(event.clientX + 12, window.innerWidth - wide - 4))}px`;
    tip.style.top = `${Math.max(4, event.clientY - tip.offsetHeight - 12)}px`;
  };
  document.addEventListener("pointermove", place);
  document.addEventListener("pointerdown", place);

  const open = () => {
    const target = location.hash && document.getElementById(location.hash.slice(1));
    const fold = target && target.closest("details");
    if (fold) fold.open = true;
  };
  window.addEventListener("hashchange", open);
  open();
})();
