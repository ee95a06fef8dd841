/** The regions of an own image: which of them lie in a box, and how they are drawn. */

/** @typedef {import("./payloads").OwnImage} OwnImage */
/** @typedef {{x: number, y: number}} Point Shares of the picture's width and height. */

/** Width of the border of a region, and of its halo, in CSS pixels. */
const [BORDER, HALO] = [1, 3];
const DARK = "rgba(8,14,22,.6)";

/**
 * Return the regions of which at least half lies in a box; if there is none, the one that fills most of it.
 * @param {OwnImage} image
 * @param {Point} from
 * @param {Point} to
 */
export function regionsIn({ regions, grid: [rows, columns], crop: [left, top, right, bottom] }, from, to) {
  const cellOf = (
    /** @type {number} */ share,
    /** @type {number} */ low,
    /** @type {number} */ high,
    /** @type {number} */ n,
  ) => ((share - low) / (high - low)) * n;
  const [x0, x1] = [from.x, to.x].map((x) => cellOf(x, left, right, columns)).sort((a, b) => a - b);
  const [y0, y1] = [from.y, to.y].map((y) => cellOf(y, top, bottom, rows)).sort((a, b) => a - b);
  const covered = (/** @type {number} */ at, /** @type {number} */ low, /** @type {number} */ high) =>
    Math.max(0, Math.min(at + 1, high) - Math.max(at, low));
  /** Cells of each region, and how much of them lies in the box. @type {Map<number, [number, number]>} */
  const sizes = new Map();
  regions.forEach((region, i) => {
    const [cells, inside] = sizes.get(region) ?? [0, 0];
    const share = covered(i % columns, x0, x1) * covered(Math.floor(i / columns), y0, y1);
    sizes.set(region, [cells + 1, inside + share]);
  });
  const half = [...sizes].filter(([, [cells, inside]]) => inside >= cells / 2).map(([region]) => region);
  if (half.length) return half;
  const most = [...sizes].filter(([, [, inside]]) => inside > 0).sort((a, b) => b[1][1] - a[1][1])[0];
  if (most) return [most[0]];
  // A click has no area: the cell at the point, or none outside the part that the encoder sees.
  const [x, y] = [Math.floor(x0), Math.floor(y0)];
  return x >= 0 && y >= 0 && x < columns && y < rows ? [regions[y * columns + x]] : [];
}

/**
 * Draw the borders of all regions, and fill those that are picked.
 * @param {HTMLCanvasElement} canvas
 * @param {OwnImage} image
 * @param {(region: number) => boolean | undefined} kindOf Whether a region shows the concept.
 * @param {number | null} looked A region with a thicker border.
 */
export function drawPicked(
  canvas,
  { regions, grid: [rows, columns], crop: [left, top, right, bottom] },
  kindOf,
  looked,
) {
  const { clientWidth: width, clientHeight: height } = canvas;
  const ratio = window.devicePixelRatio || 1;
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  const context = canvas.getContext("2d");
  if (!context || !width) return;
  context.scale(ratio, ratio);
  const cell = { width: ((right - left) * width) / columns, height: ((bottom - top) * height) / rows };
  const at = (/** @type {number} */ x, /** @type {number} */ y) =>
    x < columns && y < rows ? regions[y * columns + x] : undefined;
  const borders = new Path2D();
  const around = new Path2D();
  for (let y = 0; y < rows; y++)
    for (let x = 0; x < columns; x++) {
      const region = at(x, y);
      const kind = kindOf(/** @type {number} */ (region));
      const [x0, y0] = [left * width + x * cell.width, top * height + y * cell.height];
      const [x1, y1] = [x0 + cell.width, y0 + cell.height];
      if (kind !== undefined) {
        context.fillStyle = kind ? "rgba(255,150,30,.42)" : "rgba(8,14,22,.66)";
        context.fillRect(x0, y0, cell.width, cell.height);
      }
      const border = (
        /** @type {number | undefined} */ other,
        /** @type {number} */ x2,
        /** @type {number} */ y2,
      ) => {
        if (other === undefined || other === region) return;
        const path = other === looked || region === looked ? around : borders;
        path.moveTo(x2, y2);
        path.lineTo(x1, y1);
      };
      border(at(x + 1, y), x1, y0);
      border(at(x, y + 1), x0, y1);
    }
  borders.rect(left * width, top * height, (right - left) * width, (bottom - top) * height);
  const stroke = (/** @type {Path2D} */ path, /** @type {number} */ wider) => {
    context.strokeStyle = DARK;
    context.lineWidth = HALO + wider;
    context.stroke(path);
    context.strokeStyle = "#fff";
    context.lineWidth = BORDER + wider;
    context.stroke(path);
  };
  stroke(borders, 0);
  stroke(around, 3);
  context.font = "600 12px sans-serif";
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.lineWidth = HALO;
  context.strokeStyle = DARK;
  context.fillStyle = "#fff";
  for (const [region, [x, y]] of middles(regions, columns)) {
    const place = /** @type {const} */ ([
      left * width + (x + 0.5) * cell.width,
      top * height + (y + 0.5) * cell.height,
    ]);
    context.strokeText(String(region + 1), ...place);
    context.fillText(String(region + 1), ...place);
  }
}

/**
 * Return for each region its cell that is nearest to the mean of its cells.
 * @param {number[]} regions
 * @param {number} columns
 */
function middles(regions, columns) {
  /** @type {Map<number, [x: number, y: number][]>} */
  const cells = new Map();
  regions.forEach((region, i) => {
    const own = cells.get(region) ?? [];
    own.push([i % columns, Math.floor(i / columns)]);
    cells.set(region, own);
  });
  return [...cells].map(([region, own]) => {
    const mean = [0, 1].map((axis) => own.reduce((sum, cell) => sum + cell[axis], 0) / own.length);
    const far = (/** @type {[number, number]} */ [x, y]) => Math.hypot(x - mean[0], y - mean[1]);
    return /** @type {const} */ ([region, own.reduce((best, cell) => (far(cell) < far(best) ? cell : best))]);
  });
}

/**
 * Draw the box that is dragged.
 * @param {HTMLCanvasElement} canvas
 * @param {Point} from
 * @param {Point} to
 */
export function drawBox(canvas, from, to) {
  const context = canvas.getContext("2d");
  if (!context) return;
  const { clientWidth: width, clientHeight: height } = canvas;
  const sides = /** @type {const} */ ([
    from.x * width,
    from.y * height,
    (to.x - from.x) * width,
    (to.y - from.y) * height,
  ]);
  context.lineWidth = HALO + 2;
  context.strokeStyle = DARK;
  context.strokeRect(...sides);
  context.lineWidth = BORDER + 1;
  context.strokeStyle = "#ffb347";
  context.strokeRect(...sides);
}
