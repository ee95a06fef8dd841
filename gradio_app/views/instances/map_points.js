/**
 * The points of the map: an index by place, and drawing into an array of pixels. Writing pixels costs less
 * than one canvas call for each point, so that 100,000 points are drawn within a frame.
 */

/** Points in a cell of the index, on average. */
const PER_CELL = 8;
const MOST_CELLS = 256;

/** Levels of a point. */
export const HIDDEN = 0;
export const FAINT = 1;
export const FULL = 2;

/**
 * @typedef {object} Points
 * @property {Float32Array} x
 * @property {Float32Array} y
 * @property {number} cells Cells on each side of the index.
 * @property {Int32Array} starts Where each cell begins in `order`.
 * @property {Int32Array} order Rows, cell by cell.
 * @property {import("./map_camera.js").Box} box What the points cover.
 */

/**
 * Look of the points.
 * @typedef {object} Look
 * @property {Uint8Array} codes Index of each point into the colours.
 * @property {Uint8Array} levels `HIDDEN`, `FAINT` or `FULL`.
 * @property {Uint32Array} full Colours by code.
 * @property {Uint32Array} faint
 * @property {Uint8Array} shapes By code: 0 disc, 1 square, 2 diamond.
 * @property {Uint8Array} ranks By code: points of higher ranks are drawn over those of lower ones.
 * @property {number} background
 */

/**
 * Build the index of points.
 * @param {Float32Array} x
 * @param {Float32Array} y
 * @returns {Points}
 */
export function indexed(x, y) {
  const n = x.length;
  const cells = Math.max(1, Math.min(MOST_CELLS, Math.ceil(Math.sqrt(n / PER_CELL))));
  const starts = new Int32Array(cells * cells + 1);
  const box = { left: 1, top: 1, right: 0, bottom: 0 };
  const cellOf = (/** @type {number} */ i) =>
    Math.min(cells - 1, Math.floor(y[i] * cells)) * cells + Math.min(cells - 1, Math.floor(x[i] * cells));
  for (let i = 0; i < n; i++) {
    starts[cellOf(i) + 1]++;
    if (x[i] < box.left) box.left = x[i];
    if (x[i] > box.right) box.right = x[i];
    if (y[i] < box.top) box.top = y[i];
    if (y[i] > box.bottom) box.bottom = y[i];
  }
  for (let cell = 0; cell < cells * cells; cell++) starts[cell + 1] += starts[cell];
  const next = starts.slice(0, -1);
  const order = new Int32Array(n);
  for (let i = 0; i < n; i++) order[next[cellOf(i)]++] = i;
  return { x, y, cells, starts, order, box };
}

/**
 * Call `visit` with the rows in a part of the map, and in cells that reach into it.
 * @param {Points} points
 * @param {import("./map_camera.js").Box} box
 * @param {(row: number) => void} visit
 */
export function within(points, box, visit) {
  const { cells, starts, order } = points;
  const cell = (/** @type {number} */ v) => Math.max(0, Math.min(cells - 1, Math.floor(v * cells)));
  const [first, last] = [cell(box.left), cell(box.right)];
  for (let line = cell(box.top); line <= cell(box.bottom); line++) {
    const end = starts[line * cells + last + 1];
    for (let at = starts[line * cells + first]; at < end; at++) visit(order[at]);
  }
}

/**
 * Return the row of the nearest visible point within a distance, or -1.
 * @param {Points} points
 * @param {Uint8Array} levels
 * @param {number} x
 * @param {number} y
 * @param {number} distance
 */
export function nearest(points, levels, x, y, distance) {
  let found = -1;
  let best = distance * distance;
  const box = { left: x - distance, top: y - distance, right: x + distance, bottom: y + distance };
  within(points, box, (row) => {
    if (levels[row] === HIDDEN) return;
    const dx = points.x[row] - x;
    const dy = points.y[row] - y;
    const d = dx * dx + dy * dy;
    if (d > best) return;
    best = d;
    found = row;
  });
  return found;
}

/**
 * Pixels of a shape relative to its centre: how far each is covered, of 256; a rim separates neighbours.
 * @typedef {{dx: Int16Array, dy: Int16Array, cover: Int16Array, rim: Uint8Array, reach: number}} Stamp
 */

/** @type {Map<string, Stamp>} */
const stamps = new Map();

/**
 * @param {number} shape
 * @param {number} radius In pixels.
 * @returns {Stamp}
 */
function stampOf(shape, radius) {
  const key = `${shape} ${radius.toFixed(2)}`;
  const known = stamps.get(key);
  if (known) return known;
  const rim = radius >= 3 ? 1 : 0;
  const reach = Math.ceil(radius * 1.25 + rim);
  /** @type {number[][]} */
  const cells = [];
  for (let dy = -reach; dy <= reach; dy++)
    for (let dx = -reach; dx <= reach; dx++) {
      const distance = [
        Math.hypot(dx, dy),
        Math.max(Math.abs(dx), Math.abs(dy)) * 1.12,
        (Math.abs(dx) + Math.abs(dy)) * 0.8,
      ][shape];
      const inner = Math.max(0, Math.min(1, radius + 0.5 - distance));
      const outer = Math.max(0, Math.min(1, radius + rim + 0.5 - distance));
      if (inner > 0.04) cells.push([dx, dy, Math.round(256 * inner), 0]);
      if (rim && outer - inner > 0.04) cells.push([dx, dy, Math.round(200 * (outer - inner)), 1]);
    }
  cells.sort((a, b) => b[3] - a[3]);
  const stamp = {
    dx: Int16Array.from(cells, (c) => c[0]),
    dy: Int16Array.from(cells, (c) => c[1]),
    cover: Int16Array.from(cells, (c) => c[2]),
    rim: Uint8Array.from(cells, (c) => c[3]),
    reach,
  };
  if (stamps.size > 200) stamps.clear();
  stamps.set(key, stamp);
  return stamp;
}

/**
 * Return the radius of the points in pixels.
 * @param {number} n Points that are shown.
 * @param {number} width
 * @param {number} height
 * @param {number} zoom Relative to the scale at which the whole map fits.
 */
export function radiusOf(n, width, height, zoom) {
  const base = Math.sqrt((0.09 * width * height) / (Math.PI * Math.max(n, 1)));
  const radius = Math.max(1.2, Math.min(5, base)) * Math.max(1, zoom) ** 0.45;
  return Math.round(4 * Math.min(7, radius)) / 4;
}

/**
 * Draw the points.
 * @param {Uint32Array} pixels Row by row, alpha in the highest byte.
 * @param {number} width
 * @param {number} height
 * @param {Points} points
 * @param {Look} look
 * @param {import("./map_camera.js").Camera} camera In the same pixels.
 * @param {number} radius
 * @returns {number} The number of points drawn.
 */
export function drawPoints(pixels, width, height, points, look, camera, radius) {
  pixels.fill(look.background);
  const { x, y, order, starts, cells } = points;
  const { codes, levels, ranks } = look;
  const { scale, left, top } = camera;
  const edge = 2 * radius + 2;
  const cell = (/** @type {number} */ pixel, /** @type {number} */ offset) =>
    Math.max(0, Math.min(cells - 1, Math.floor(((pixel - offset) / scale) * cells)));
  const [first, last] = [cell(-edge, left), cell(width + edge, left)];
  const [upper, lower] = [cell(-edge, top), cell(height + edge, top)];
  const passes = [
    { level: FAINT, rank: -1, radius: Math.max(1, radius * 0.8), colours: look.faint },
    { level: FULL, rank: 0, radius, colours: look.full },
    { level: FULL, rank: 1, radius, colours: look.full },
  ];
  let drawn = 0;
  for (const pass of passes) {
    const set = [0, 1, 2].map((shape) => stampOf(shape, pass.radius));
    for (let line = upper; line <= lower; line++) {
      const end = starts[line * cells + last + 1];
      for (let at = starts[line * cells + first]; at < end; at++) {
        const row = order[at];
        if (levels[row] !== pass.level) continue;
        const code = codes[row];
        if (pass.rank >= 0 && ranks[code] !== pass.rank) continue;
        const px = Math.round(x[row] * scale + left);
        const py = Math.round(y[row] * scale + top);
        if (px < -edge || py < -edge || px > width + edge || py > height + edge) continue;
        stampAt(pixels, width, height, px, py, set[look.shapes[code]], pass.colours[code], look.background);
        drawn++;
      }
    }
  }
  return drawn;
}

/**
 * @param {Uint32Array} pixels
 * @param {number} width
 * @param {number} height
 * @param {number} px
 * @param {number} py
 * @param {Stamp} stamp
 * @param {number} colour
 * @param {number} background
 */
function stampAt(pixels, width, height, px, py, stamp, colour, background) {
  const { dx, dy, cover, rim, reach } = stamp;
  const isInside = px >= reach && py >= reach && px < width - reach && py < height - reach;
  const centre = py * width + px;
  for (let i = 0; i < dx.length; i++) {
    if (!isInside) {
      const cx = px + dx[i];
      const cy = py + dy[i];
      if (cx < 0 || cy < 0 || cx >= width || cy >= height) continue;
    }
    const at = centre + dy[i] * width + dx[i];
    const a = cover[i];
    const ink = rim[i] ? background : colour;
    pixels[at] = a >= 256 ? ink : mixed(pixels[at], ink, a);
  }
}

/**
 * Return a mixture of two colours.
 * @param {number} under
 * @param {number} over
 * @param {number} share Of the second, of 256.
 */
export function mixed(under, over, share) {
  const rest = 256 - share;
  const redBlue = (((over & 0xff00ff) * share + (under & 0xff00ff) * rest) >>> 8) & 0xff00ff;
  const green = (((over & 0xff00) * share + (under & 0xff00) * rest) >>> 8) & 0xff00;
  return (0xff000000 | redBlue | green) >>> 0;
}
