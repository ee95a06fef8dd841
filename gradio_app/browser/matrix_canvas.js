/** Drawing of the class × concept matrix: only the cells in the window are drawn. */

import { h, oncePerFrame } from "./elements.js";
import { colour } from "./theme.js";

const LEAST_CELL = 18;
const MOST_CELL = 28;
const NAMES = 150;
const NARROW_NAMES = 104;
const HEAD = 112;
const NARROW = 620;

/** @typedef {import("./matrix_order.js").Matrix} Matrix */

/**
 * @typedef {object} MatrixView
 * @property {HTMLElement} element
 * @property {(matrix: Matrix, rows: number[], columns: number[]) => void} show
 * @property {(row: number, column: number) => void} go Move the cursor to a class and a concept.
 * @property {(classes: string[], concepts: string[]) => void} mark Mark selected classes and concepts.
 */

/**
 * Create the matrix.
 * @param {{onPick: (row: number, column: number) => void, onCursor: (row: number, column: number) => void}}
 *   actions Called with a class and a concept, or with -1 for none.
 * @returns {MatrixView}
 */
export function createMatrix({ onPick, onCursor }) {
  const canvas = h("canvas", { "aria-hidden": "true" });
  const space = h("div", { class: "matrix-space" });
  const element = h(
    "div",
    {
      class: "matrix-scroll",
      tabindex: "0",
      role: "application",
      "aria-label":
        "Class × concept matrix. Arrow keys go from cell to cell, Enter selects class and concept.",
    },
    canvas,
    space,
  );
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  /** @type {Matrix | null} */
  let matrix = null;
  /** @type {number[]} */
  let rows = [];
  /** @type {number[]} */
  let columns = [];
  /** Position of the cursor in `rows` and `columns`. */
  let cursor = { y: -1, x: -1 };
  /** @type {Set<string>} */
  let markedClasses = new Set();
  /** @type {Set<string>} */
  let markedConcepts = new Set();

  /** Side of a cell in pixels. */
  let side = LEAST_CELL;

  const namesWidth = () => (element.clientWidth < NARROW ? NARROW_NAMES : NAMES);
  const redraw = oncePerFrame(draw);

  function draw() {
    const { clientWidth: width, clientHeight: height, scrollLeft, scrollTop } = element;
    if (!matrix || !width || !height) return;
    const ratio = Math.min(2, devicePixelRatio || 1);
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
      canvas.style.width = `${width}px`;
      canvas.style.height = `${height}px`;
      space.style.marginTop = `-${height}px`;
    }
    const names = namesWidth();
    const room = Math.floor((height - HEAD - 8) / Math.max(1, rows.length));
    side = Math.max(LEAST_CELL, Math.min(width < NARROW ? 22 : MOST_CELL, room));
    space.style.width = `${names + columns.length * side + 24}px`;
    space.style.height = `${HEAD + rows.length * side + 4}px`;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.fillStyle = colour("panel");
    context.fillRect(0, 0, width, height);
    const firstRow = Math.floor(scrollTop / side);
    const lastRow = Math.min(rows.length - 1, Math.ceil((scrollTop + height - HEAD) / side));
    const firstColumn = Math.floor(scrollLeft / side);
    const lastColumn = Math.min(columns.length - 1, Math.ceil((scrollLeft + width - names) / side));
    const left = (/** @type {number} */ x) => names + x * side - scrollLeft;
    const top = (/** @type {number} */ y) => HEAD + y * side - scrollTop;
    context.save();
    context.beginPath();
    context.rect(names, HEAD, width, height);
    context.clip();
    drawMarks(width, height, left, top);
    const [positive, negative, line] = ["pos", "neg", "line"].map(colour);
    const panel = colour("panel");
    for (let y = firstRow; y <= lastRow; y++) {
      for (let x = firstColumn; x <= lastColumn; x++) {
        const weight = matrix.weights[rows[y] * matrix.concepts.length + columns[x]];
        const [px, py] = [left(x), top(y)];
        if (weight === 0) {
          context.fillStyle = line;
          context.fillRect(px + side / 2 - 1, py + side / 2 - 1, 2, 2);
          continue;
        }
        const mark = 5 + (side - 7) * Math.sqrt(Math.min(1, Math.abs(weight) / matrix.largest));
        context.fillStyle = weight > 0 ? positive : negative;
        context.fillRect(px + (side - mark) / 2, py + (side - mark) / 2, mark, mark);
        if (weight > 0) continue;
        context.fillStyle = panel; // a minus sign: colour is not the only sign
        context.fillRect(
          px + side / 2 - Math.max(1.5, mark / 4),
          py + side / 2 - 0.75,
          Math.max(3, mark / 2),
          1.5,
        );
      }
    }
    if (cursor.y >= 0) {
      context.strokeStyle = colour("ink");
      context.lineWidth = 1.5;
      context.strokeRect(left(cursor.x) + 0.5, top(cursor.y) + 0.5, side - 1, side - 1);
    }
    context.restore();
    drawNames(firstRow, lastRow, names, top);
    drawHead(firstColumn, lastColumn, names, width, left);
  }

  /**
   * @param {number} width
   * @param {number} height
   * @param {(x: number) => number} left
   * @param {(y: number) => number} top
   */
  function drawMarks(width, height, left, top) {
    if (!matrix) return;
    context.fillStyle = colour("accent-soft");
    for (const [y, row] of rows.entries())
      if (markedClasses.has(matrix.classes[row]))
        context.fillRect(0, top(y), Math.min(width, left(columns.length)), side);
    for (const [x, column] of columns.entries())
      if (markedConcepts.has(matrix.concepts[column]))
        context.fillRect(left(x), 0, side, Math.min(height, top(rows.length)));
  }

  /**
   * @param {boolean} strong
   */
  const font = (strong) => `${strong ? "650 " : ""}12px ${getComputedStyle(element).fontFamily}`;

  /**
   * @param {number} first
   * @param {number} last
   * @param {number} names
   * @param {(y: number) => number} top
   */
  function drawNames(first, last, names, top) {
    if (!matrix) return;
    context.save();
    context.beginPath();
    context.rect(0, HEAD, names, element.clientHeight);
    context.clip();
    context.textBaseline = "middle";
    for (let y = first; y <= last; y++) {
      const name = matrix.classes[rows[y]];
      const strong = y === cursor.y || markedClasses.has(name);
      context.font = font(strong);
      context.fillStyle = colour(markedClasses.has(name) ? "accent" : "ink");
      context.fillText(shortened(name, names - 12), 4, top(y) + side / 2);
    }
    context.restore();
  }

  /**
   * @param {number} first
   * @param {number} last
   * @param {number} names
   * @param {number} width
   * @param {(x: number) => number} left
   */
  function drawHead(first, last, names, width, left) {
    if (!matrix) return;
    context.save();
    context.beginPath();
    context.rect(names, 0, width - names, HEAD);
    context.clip();
    context.textBaseline = "middle";
    for (let x = first; x <= last; x++) {
      const name = matrix.concepts[columns[x]];
      const strong = x === cursor.x || markedConcepts.has(name);
      context.save();
      context.translate(left(x) + side / 2, HEAD - 5);
      context.rotate(-Math.PI / 2.6);
      context.font = font(strong);
      context.fillStyle = colour(markedConcepts.has(name) ? "accent" : "ink");
      context.fillText(shortened(name, HEAD), 0, 0);
      context.restore();
    }
    context.restore();
    context.strokeStyle = colour("line");
    context.lineWidth = 1;
    context.strokeRect(names - 0.5, HEAD - 0.5, width, element.clientHeight);
  }

  /**
   * @param {string} text
   * @param {number} width
   */
  function shortened(text, width) {
    if (context.measureText(text).width <= width) return text;
    let end = text.length;
    while (end > 1 && context.measureText(`${text.slice(0, end)}…`).width > width) end--;
    return `${text.slice(0, end)}…`;
  }

  /** @param {MouseEvent} event */
  function cellAt(event) {
    const box = element.getBoundingClientRect();
    const x = Math.floor((event.clientX - box.left - namesWidth() + element.scrollLeft) / side);
    const y = Math.floor((event.clientY - box.top - HEAD + element.scrollTop) / side);
    const isInside =
      event.clientX - box.left >= namesWidth() && event.clientY - box.top >= HEAD && rows[y] !== undefined;
    return isInside && columns[x] !== undefined ? { x, y } : null;
  }

  /** @param {{x: number, y: number}} next */
  function moveTo(next) {
    if (next.x === cursor.x && next.y === cursor.y) return;
    cursor = next;
    onCursor(rows[next.y] ?? -1, columns[next.x] ?? -1);
    redraw();
  }

  function reveal() {
    const [right, bottom] = [(cursor.x + 1) * side, (cursor.y + 1) * side];
    const width = element.clientWidth - namesWidth() - side;
    const height = element.clientHeight - HEAD - side;
    element.scrollLeft = Math.min(cursor.x * side, Math.max(element.scrollLeft, right - width));
    element.scrollTop = Math.min(cursor.y * side, Math.max(element.scrollTop, bottom - height));
  }

  element.addEventListener("pointermove", (event) => {
    const cell = cellAt(event);
    if (cell) moveTo(cell);
  });
  element.addEventListener("click", (event) => {
    const cell = cellAt(event);
    if (cell) onPick(rows[cell.y], columns[cell.x]);
  });
  element.addEventListener("keydown", (event) => {
    /** @type {Record<string, [number, number]>} */
    const steps = {
      ArrowLeft: [-1, 0],
      ArrowRight: [1, 0],
      ArrowUp: [0, -1],
      ArrowDown: [0, 1],
      Home: [-1e6, 0],
      End: [1e6, 0],
      PageUp: [0, -12],
      PageDown: [0, 12],
    };
    if (event.key === "Enter" && cursor.y >= 0) onPick(rows[cursor.y], columns[cursor.x]);
    else if (event.key in steps) {
      const [dx, dy] = steps[event.key];
      const clamp = (/** @type {number} */ v, /** @type {number} */ n) => Math.max(0, Math.min(n - 1, v));
      const from = { x: Math.max(0, cursor.x), y: Math.max(0, cursor.y) };
      moveTo(
        cursor.y < 0 ? from : { x: clamp(from.x + dx, columns.length), y: clamp(from.y + dy, rows.length) },
      );
      reveal();
    } else return;
    event.preventDefault();
  });
  element.addEventListener("scroll", redraw, { passive: true });
  new ResizeObserver(redraw).observe(element);

  return {
    element,
    show(now, rowOrder, columnOrder) {
      [matrix, rows, columns] = [now, rowOrder, columnOrder];
      cursor = { x: -1, y: -1 };
      draw(); // gives the scroller its size
      redraw();
    },
    go(row, column) {
      moveTo({ y: rows.indexOf(row), x: columns.indexOf(column) });
      reveal();
      redraw();
    },
    mark(classes, concepts) {
      markedClasses = new Set(classes);
      markedConcepts = new Set(concepts);
      redraw();
    },
  };
}
