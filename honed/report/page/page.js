// Draws the pictures in light or dark colours, switches lines, sorts the table.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const print = matchMedia("print");
  const drawn = new Set();
  let printing = print.matches;
  document.documentElement.classList.toggle("printing", printing);

  // Without WebGL Plotly would show a link to the network in the place of a surface.
  const canvas = document.createElement("canvas");
  const space = canvas.getContext("webgl2") || canvas.getContext("webgl");
  document.querySelectorAll("figure.solid").forEach((figure) => { figure.hidden = !space; });

  // Figures are made in light colours; each colour has one dark partner.
  const coloured = (value) => {
    if (printing || !dark.matches) return structuredClone(value);
    return JSON.parse(JSON.stringify(value), (_, v) => (typeof v === "string" && data.dark[v]) || v);
  };

  const hidden = (picture) => {
    const buttons = document.querySelectorAll(`#${picture.name} .legend button[aria-pressed=false]`);
    return new Set([...buttons].map((button) => button.dataset.label));
  };

  const draw = (picture) => {
    const off = hidden(picture);
    picture.panels.forEach((panel, index) => {
      const box = document.getElementById(`${picture.name}--${index}`);
      if (!box.clientWidth) return; // a surface, on paper or without WebGL
      const { data: traces, layout } = coloured(panel);
      layout.template = coloured(data.template);
      // A finger that scrolls the page must not turn a surface.
      if (layout.scene && matchMedia("(pointer: coarse)").matches) layout.scene.dragmode = false;
      for (const trace of traces) trace.visible = !off.has(trace.meta);
      layout.width = box.clientWidth;
      Plotly.react(box, traces, layout, { displayModeBar: false, doubleClick: false });
    });
    signs(picture);
    drawn.add(picture);
  };

  // The signs of the legend: a piece of the line with its mark, in the colours of the screen.
  const signs = (picture) => {
    const found = coloured(picture.signs);
    document.querySelectorAll(`#${picture.name} svg.sign`).forEach((svg) => {
      const { colour, symbol, dash } = found[svg.dataset.index];
      const dashes = { dash: "6 3", dot: "2 3", dashdot: "6 3 2 3", longdash: "9 3", longdashdot: "9 3 2 3" };
      svg.setAttribute("viewBox", "0 0 30 14");
      svg.innerHTML =
        `<path d="M1 7H29" stroke="${colour}" stroke-width="2" stroke-dasharray="${dashes[dash] || ""}"/>` +
        `<path d="${MARKS[symbol] || MARKS.circle}" transform="translate(15 7)" fill="${colour}"/>`;
    });
  };
  const MARKS = {
    circle: "M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0 -9 0", square: "M-4-4H4V4H-4Z",
    diamond: "M0-5.5L5.5 0L0 5.5L-5.5 0Z", "triangle-up": "M0-5L5 4H-5Z",
    "triangle-down": "M0 5L5-4H-5Z", pentagon: "M0-5L4.8-1.5L3 4H-3L-4.8-1.5Z",
    "x-thin": "M-4.5-3.5L-3.5-4.5L0-1L3.5-4.5L4.5-3.5L1 0L4.5 3.5L3.5 4.5L0 1L-3.5 4.5L-4.5 3.5L-1 0Z",
    hexagon: "M-2.5-4.5H2.5L5 0L2.5 4.5H-2.5L-5 0Z",
    star: "M0-5.5L1.5-1.7L5.4-1.7L2.3 .8L3.4 4.7L0 2.4L-3.4 4.7L-2.3 .8L-5.4-1.7L-1.5-1.7Z",
  };

  const redraw = () => data.pictures.forEach(draw);
  const setPrinting = (now) => {
    if (now === printing && drawn.size === data.pictures.length) return;
    printing = now;
    document.documentElement.classList.toggle("printing", now);
    document.querySelectorAll("details.ids").forEach((details) => { details.open = now; });
    redraw();
  };
  dark.addEventListener("change", redraw);
  print.addEventListener("change", (event) => setPrinting(event.matches));
  addEventListener("beforeprint", () => setPrinting(true));
  addEventListener("afterprint", () => setPrinting(false));
  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth === width) return;
    width = innerWidth;
    requestAnimationFrame(redraw);
  });

  for (const picture of data.pictures) {
    document.querySelectorAll(`#${picture.name} .legend button`).forEach((button) => {
      button.addEventListener("click", () => {
        button.setAttribute("aria-pressed", button.getAttribute("aria-pressed") !== "true");
        draw(picture);
      });
    });
  }

  // One picture a frame, so that the page can be read and scrolled after the first.
  const next = (index) => {
    if (index === data.pictures.length) {
      document.body.dataset.drawn = "all";
      return;
    }
    if (!drawn.has(data.pictures[index])) draw(data.pictures[index]);
    setTimeout(() => next(index + 1), 0);
  };
  next(0);

  const value = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.value === undefined ? cell.textContent.trim() : Number(cell.dataset.value);
  };
  const missing = (v) => v === "" || v === "\u2013";
  const compare = (a, b) => (typeof a === "number" && typeof b === "number"
    ? a - b : String(a).localeCompare(String(b), "en", { numeric: true }));
  document.querySelectorAll("thead th").forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const body = head.closest("table").tBodies[0];
      const down = head.getAttribute("aria-sort") === "ascending";
      head.parentElement.querySelectorAll("th").forEach((th) => th.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...body.rows].map((row) => [value(row, column), row]);
      // Missing values go last in both directions.
      rows.sort(([a], [b]) => (missing(a) - missing(b)) || (down ? compare(b, a) : compare(a, b)));
      body.append(...rows.map(([, row]) => row));
    });
  });
})();
