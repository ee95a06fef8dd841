/** Areas of the map: polygons as the short texts of `core/sessions/map_area.py`. */

const STEPS = 36 ** 3 - 1;
const DIGITS = 3;
export const LEAST_CORNERS = 3;
export const MOST_CORNERS = 64;

/** @typedef {[x: number, y: number]} Corner */

/**
 * Write a polygon as text.
 * @param {string} layout
 * @param {Corner[]} corners
 */
export function formatArea(layout, corners) {
  const digits = (/** @type {number} */ v) =>
    Math.round(Math.max(0, Math.min(1, v)) * STEPS)
      .toString(36)
      .padStart(DIGITS, "0");
  return `${layout}.${corners.flat().map(digits).join("")}`;
}

/**
 * Read a polygon, or return null if the text is not one of a map of this layout.
 * @param {string | null} text
 * @param {string} layout
 * @returns {Corner[] | null}
 */
export function parseArea(text, layout) {
  const [named, digits = ""] = (text ?? "").split(".");
  if (named !== layout || !digits || digits.length % (2 * DIGITS)) return null;
  /** @type {number[]} */
  const numbers = [];
  for (let i = 0; i < digits.length; i += DIGITS)
    numbers.push(Number.parseInt(digits.slice(i, i + DIGITS), 36) / STEPS);
  if (numbers.some(Number.isNaN)) return null;
  return numbers.flatMap((x, i) => (i % 2 ? [] : [/** @type {Corner} */ ([x, numbers[i + 1]])]));
}

/**
 * Return a path with at most `MOST_CORNERS` corners that is close to a drawn one (Douglas and Peucker 1973).
 * @param {Corner[]} path
 * @returns {Corner[]}
 */
export function simplified(path) {
  const xs = path.map(([x]) => x);
  const ys = path.map(([, y]) => y);
  let tolerance = 0.002 * Math.max(Math.max(...xs) - Math.min(...xs), Math.max(...ys) - Math.min(...ys));
  for (let tries = 0; tries < 40; tries++) {
    const kept = reduced(path, tolerance);
    if (kept.length <= MOST_CORNERS) return kept;
    tolerance *= 1.4;
  }
  return path.filter((_, i) => i % Math.ceil(path.length / MOST_CORNERS) === 0);
}

/**
 * @param {Corner[]} path
 * @param {number} tolerance
 * @returns {Corner[]}
 */
function reduced(path, tolerance) {
  const keep = new Uint8Array(path.length);
  keep[0] = keep[path.length - 1] = 1;
  /** @type {[number, number][]} */
  const spans = [[0, path.length - 1]];
  for (let span = spans.pop(); span; span = spans.pop()) {
    const [from, to] = span;
    let worst = 0;
    let at = -1;
    for (let i = from + 1; i < to; i++) {
      const distance = distanceToSegment(path[i], path[from], path[to]);
      if (distance > worst) [worst, at] = [distance, i];
    }
    if (at < 0 || worst <= tolerance) continue;
    keep[at] = 1;
    spans.push([from, at], [at, to]);
  }
  return path.filter((_, i) => keep[i]);
}

/**
 * @param {Corner} point
 * @param {Corner} a
 * @param {Corner} b
 */
function distanceToSegment([x, y], [ax, ay], [bx, by]) {
  const length = (bx - ax) ** 2 + (by - ay) ** 2;
  const along = length ? ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / length : 0;
  const t = Math.max(0, Math.min(1, along));
  return Math.hypot(x - ax - t * (bx - ax), y - ay - t * (by - ay));
}
