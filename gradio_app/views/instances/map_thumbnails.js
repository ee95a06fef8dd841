/** The choice of images that the map shows as thumbnails. */

import { FULL, HIDDEN, within } from "./map_points.js";

/**
 * Choose images in the window whose thumbnails do not cover each other: selected ones first, then in an order
 * that does not depend on the camera, so that few change while the map is moved.
 * @param {import("./map_points.js").Points} points
 * @param {import("./map_points.js").Look} look
 * @param {import("./map_camera.js").Camera} camera
 * @param {number} width Of the window, in pixels.
 * @param {number} height
 * @param {number} side Of a thumbnail.
 */
export function chosenThumbnails(points, look, camera, width, height, side) {
  /** @type {number[]} */
  const rows = [];
  const { scale, left, top } = camera;
  const place = (/** @type {number} */ pixel, /** @type {number} */ offset) => (pixel - offset) / scale;
  const box = {
    left: place(-side / 2, left),
    top: place(-side / 2, top),
    right: place(width + side / 2, left),
    bottom: place(height + side / 2, top),
  };
  within(points, box, (row) => {
    if (look.levels[row] !== HIDDEN) rows.push(row);
  });
  const key = (/** @type {number} */ row) => (look.levels[row] === FULL ? 0 : 2 ** 32) + hashed(row);
  rows.sort((a, b) => key(a) - key(b));
  /** @type {Map<number, [number, number][]>} */
  const taken = new Map();
  const cellOf = (/** @type {number} */ x, /** @type {number} */ y) => x * 4096 + y;
  /** @type {number[]} */
  const chosen = [];
  for (const row of rows) {
    const [x, y] = [points.x[row] * scale + left, points.y[row] * scale + top];
    if (x < -side || y < -side || x > width + side || y > height + side) continue;
    const [cx, cy] = [Math.floor(x / side), Math.floor(y / side)];
    let free = true;
    for (let i = -1; i <= 1 && free; i++)
      for (let j = -1; j <= 1 && free; j++)
        for (const [ox, oy] of taken.get(cellOf(cx + i, cy + j)) ?? [])
          if (Math.abs(ox - x) < side && Math.abs(oy - y) < side) free = false;
    if (!free) continue;
    const cell = cellOf(cx, cy);
    taken.set(cell, [...(taken.get(cell) ?? []), [x, y]]);
    chosen.push(row);
  }
  return chosen;
}

/**
 * Return a number that orders rows without a pattern.
 * @param {number} row
 */
const hashed = (row) => Math.imul(row + 1, 2654435761) >>> 0;
