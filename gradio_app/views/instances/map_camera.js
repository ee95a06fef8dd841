/** The camera of the map: which part of the unit square is shown, and how large. */

const MARGIN = 18;
/** Largest zoom, relative to the scale at which the whole map fits. */
const MOST_ZOOM = 400;
const LEAST_ZOOM = 0.7;

/**
 * @typedef {object} Camera
 * @property {number} scale Pixels per unit.
 * @property {number} left Pixel of x = 0.
 * @property {number} top Pixel of y = 0.
 * @property {number} fitted The scale at which the whole map fits.
 */

/** @typedef {{left: number, top: number, right: number, bottom: number}} Box */

/**
 * Return a camera that shows a part of the map.
 * @param {Box} box In the unit square.
 * @param {number} width Of the canvas, in pixels.
 * @param {number} height
 * @returns {Camera}
 */
export function fitted(box, width, height) {
  const spanX = Math.max(box.right - box.left, 1e-6);
  const spanY = Math.max(box.bottom - box.top, 1e-6);
  const scale = Math.max(1, Math.min((width - 2 * MARGIN) / spanX, (height - 2 * MARGIN) / spanY));
  return {
    scale,
    left: width / 2 - (scale * (box.left + box.right)) / 2,
    top: height / 2 - (scale * (box.top + box.bottom)) / 2,
    fitted: scale,
  };
}

/**
 * Return a camera that is moved by some pixels.
 * @param {Camera} camera
 * @param {number} dx
 * @param {number} dy
 * @returns {Camera}
 */
export const panned = (camera, dx, dy) => ({ ...camera, left: camera.left + dx, top: camera.top + dy });

/**
 * Return a camera that is zoomed so that the point at a pixel stays there.
 * @param {Camera} camera
 * @param {number} factor
 * @param {number} x
 * @param {number} y
 * @returns {Camera}
 */
export function zoomed(camera, factor, x, y) {
  const wanted = camera.scale * factor;
  const scale = Math.max(camera.fitted * LEAST_ZOOM, Math.min(camera.fitted * MOST_ZOOM, wanted));
  const ratio = scale / camera.scale;
  return { ...camera, scale, left: x - (x - camera.left) * ratio, top: y - (y - camera.top) * ratio };
}

/**
 * Return a camera whose window still shows a part of the map.
 * @param {Camera} camera
 * @param {Box} box What the map contains.
 * @param {number} width
 * @param {number} height
 * @returns {Camera}
 */
export function kept(camera, box, width, height) {
  const { scale } = camera;
  const clamp = (/** @type {number} */ v, /** @type {number} */ low, /** @type {number} */ high) =>
    Math.max(low, Math.min(high, v));
  return {
    ...camera,
    left: clamp(camera.left, width * 0.25 - scale * box.right, width * 0.75 - scale * box.left),
    top: clamp(camera.top, height * 0.25 - scale * box.bottom, height * 0.75 - scale * box.top),
  };
}
