/** Contributions of concepts to a logit, and the evidence regions behind them. */

import { term } from "./controls.js";
import { childrenOf, h, reconcile, setAttribute, setText } from "./elements.js";
import { signed } from "./format.js";

/** @typedef {import("./payloads").Bar} Bar */

/**
 * Draw contributions as bars on a scale of their own. Bias and logit would dwarf them: `drawLogit` shows
 * these.
 * @param {HTMLElement} list
 * @param {Bar[]} bars
 * @param {() => HTMLElement} createRow
 */
export function drawContributions(list, bars, createRow) {
  const rows = bars.filter((bar) => bar.kind === "concept" || bar.kind === "rest");
  const largest = Math.max(0.1, ...rows.map((bar) => Math.abs(bar.value)));
  const create = () => {
    const node = createRow();
    node.classList.add("contribution");
    const name = h("span", { class: "cut", "data-name": "" });
    node.append(name, h("span", { class: "cbar" }, h("i")), h("span", { class: "right" }));
    return node;
  };
  reconcile(
    list,
    rows,
    (bar) => bar.key,
    create,
    (node, bar) => {
      const [name, track, number] = childrenOf(node);
      const [fill] = childrenOf(track);
      const share = (50 * Math.abs(bar.value)) / largest;
      setText(name, bar.absent ? `${bar.absent} ${bar.name}` : bar.name);
      name.title = bar.absence ?? bar.unclear ?? (bar.more || bar.name);
      node.classList.toggle("absent", Boolean(bar.absence));
      fill.style.left = bar.value < 0 ? `${50 - share}%` : "50%";
      fill.style.width = `${share}%`;
      fill.className = bar.value < 0 ? "neg" : "pos";
      setText(number, signed(bar.value));
      const isConcept = bar.kind === "concept";
      node.classList.toggle("total", !isConcept);
      setAttribute(node, "data-contribution", isConcept ? bar.name : null);
      setAttribute(node, "data-unclear", bar.unclear ? "" : null);
      setAttribute(node, "tabindex", isConcept ? "0" : null);
      const note = bar.absence ?? bar.unclear ?? (bar.evidence ? "show its region" : "");
      setAttribute(node, "aria-label", `${bar.name}: ${signed(bar.value)}${note && `, ${note}`}`);
    },
  );
}

/**
 * Draw the bias and the logit.
 * @param {HTMLElement} line
 * @param {Bar[]} bars
 */
export function drawLogit(line, bars) {
  const textOf = (/** @type {string} */ kind) => signed(bars.find((bar) => bar.kind === kind)?.value);
  line.replaceChildren(
    h("span", {}, "with the bias ", h("b", {}, textOf("bias"))),
    h("span", {}, term("logit"), " ", h("b", {}, textOf("sum"))),
  );
}

/**
 * Darken a picture outside an evidence region and draw the border of the region.
 * @param {HTMLCanvasElement} canvas
 * @param {{width: number, height: number}} size Of the picture, in CSS pixels.
 * @param {string | undefined} cells One digit per cell of the grid, row by row: "1" belongs to the region.
 * @param {[rows: number, columns: number]} grid
 * @param {[left: number, top: number, right: number, bottom: number]} crop The part of the picture that the
 *   encoder
 *   receives, as shares of its size.
 */
export function drawEvidence(canvas, { width, height }, cells, grid, crop) {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d");
  if (!cells || !width || !context) return;
  const [rows, columns] = grid;
  const [left, top, right, bottom] = crop;
  const cell = { width: ((right - left) * width) / columns, height: ((bottom - top) * height) / rows };
  const inRegion = (/** @type {number} */ x, /** @type {number} */ y) =>
    x >= 0 && y >= 0 && x < columns && y < rows && cells[y * columns + x] === "1";
  const border = (/** @type {number[]} */ ...points) => {
    context.moveTo(points[0], points[1]);
    context.lineTo(points[2], points[3]);
  };
  context.scale(ratio, ratio);
  context.fillStyle = "rgba(8,14,22,.56)";
  context.fillRect(0, 0, width, height);
  context.strokeStyle = "#fff";
  context.lineWidth = 2;
  context.beginPath();
  for (let y = 0; y < rows; y++)
    for (let x = 0; x < columns; x++) {
      if (!inRegion(x, y)) continue;
      const x0 = left * width + x * cell.width;
      const y0 = top * height + y * cell.height;
      const x1 = x0 + cell.width;
      const y1 = y0 + cell.height;
      context.clearRect(x0 - 0.3, y0 - 0.3, cell.width + 0.6, cell.height + 0.6);
      if (!inRegion(x, y - 1)) border(x0, y0, x1, y0);
      if (!inRegion(x, y + 1)) border(x0, y1, x1, y1);
      if (!inRegion(x - 1, y)) border(x0, y0, x0, y1);
      if (!inRegion(x + 1, y)) border(x1, y0, x1, y1);
    }
  context.stroke();
}
