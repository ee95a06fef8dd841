/** The canvas of the map: points when zoomed out, thumbnails when zoomed in, and what lies over them. */

import { h, oncePerFrame } from "../../browser/elements.js";
import { colour } from "../../browser/theme.js";
import { fitted, kept, panned, zoomed } from "./map_camera.js";
import { drawPoints, FULL, nearest, radiusOf } from "./map_points.js";
import { chosenThumbnails } from "./map_thumbnails.js";
import { onTiles, requestTiles, tileOf } from "./map_tiles.js";

/** Pixels that a thumbnail needs around it: with more images in the window, points are drawn. */
const PER_THUMBNAIL = 1150;
const LEAST_SIDE = 34;
const MOST_SIDE = 84;
const HIT_DISTANCE = 9;
const MOST_RATIO = 2;

/** @typedef {import("./map_lasso.js").Corner} Corner */

/**
 * What the canvas shows.
 * @typedef {object} Scene
 * @property {import("./map_points.js").Points | null} points
 * @property {import("./map_points.js").Look | null} look
 * @property {string[]} css Colours by code.
 * @property {number} n Images that are shown, faint ones included.
 * @property {number} hovered Row, or -1.
 * @property {number} opened
 * @property {Corner[] | null} area
 * @property {Corner[]} path The lasso that is being drawn, in pixels.
 */

/** @type {Scene} */
export const scene = {
  points: null,
  look: null,
  css: [],
  n: 0,
  hovered: -1,
  opened: -1,
  area: null,
  path: [],
};

export const canvas = h("canvas", {
  class: "map-canvas",
  tabindex: "0",
  role: "application",
  "aria-label":
    "Map of the images. Arrow keys move, plus and minus zoom, 0 shows all, Enter selects the images " +
    "in view, L switches the lasso on, Escape clears the area.",
});
const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { alpha: false }));

/** @type {import("./map_camera.js").Camera} */
let camera = { scale: 1, left: 0, top: 0, fitted: 1 };
let width = 0;
let height = 0;
let ratio = 1;
/** @type {ImageData | null} */
let image = null;
let pixels = new Uint32Array(0);
/** Whether the camera still shows the whole map, so that a new size of the window keeps it so. */
let isFitted = true;
/** @type {number[]} */
let shownTiles = [];
export const statistics = { frames: 0, milliseconds: 0 };

/** Draw at the next frame. */
export const redraw = oncePerFrame(draw);

/** Show the whole map. */
export function showAll() {
  isFitted = true;
  if (scene.points && width) camera = fitted(scene.points.box, width, height);
  redraw();
}

/**
 * Move the map by pixels.
 * @param {number} dx
 * @param {number} dy
 */
export const pan = (dx, dy) => move(panned(camera, dx, dy));

/**
 * Zoom about a pixel; by default about the centre.
 * @param {number} factor
 * @param {number} [x]
 * @param {number} [y]
 */
export const zoom = (factor, x = width / 2, y = height / 2) => move(zoomed(camera, factor, x, y));

/** @param {import("./map_camera.js").Camera} next */
function move(next) {
  if (!scene.points) return;
  isFitted = false;
  camera = kept(next, scene.points.box, width, height);
  redraw();
}

/**
 * Return the place of a pixel on the map.
 * @param {number} x
 * @param {number} y
 * @returns {Corner}
 */
export const placeOf = (x, y) => [(x - camera.left) / camera.scale, (y - camera.top) / camera.scale];

/**
 * Return the pixel of an image.
 * @param {number} row
 * @returns {Corner}
 */
export function pixelOf(row) {
  const { points } = scene;
  if (!points) return [0, 0];
  return [points.x[row] * camera.scale + camera.left, points.y[row] * camera.scale + camera.top];
}

/** Return the corners of the part of the map that is shown. @returns {Corner[]} */
export const windowCorners = () => [
  placeOf(0, 0),
  placeOf(width, 0),
  placeOf(width, height),
  placeOf(0, height),
];

/** Return the rows of the images that are drawn as thumbnails. */
export const thumbnails = () => shownTiles;

/**
 * Return the image at a pixel, or -1.
 * @param {number} x
 * @param {number} y
 */
export function rowAt(x, y) {
  if (!scene.points || !scene.look) return -1;
  const half = sideOfTiles() / 2;
  for (let i = shownTiles.length - 1; i >= 0; i--) {
    const [px, py] = pixelOf(shownTiles[i]);
    if (Math.abs(px - x) <= half && Math.abs(py - y) <= half) return shownTiles[i];
  }
  const [ux, uy] = placeOf(x, y);
  return nearest(scene.points, scene.look.levels, ux, uy, HIT_DISTANCE / camera.scale);
}

/** Adapt the canvas to its size on the page. */
function resize() {
  const box = canvas.getBoundingClientRect();
  if (!box.width || !box.height) return;
  ratio = Math.min(MOST_RATIO, devicePixelRatio || 1);
  const before = { width, height };
  width = box.width;
  height = box.height;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  image = context.createImageData(canvas.width, canvas.height);
  pixels = new Uint32Array(image.data.buffer);
  if (isFitted) showAll();
  else if (before.width) move(panned(camera, (width - before.width) / 2, (height - before.height) / 2));
  draw();
}

function draw() {
  if (!image || !width) return;
  const { points, look } = scene;
  if (!points || !look) {
    context.fillStyle = colour("panel");
    context.fillRect(0, 0, canvas.width, canvas.height);
    return;
  }
  const began = performance.now();
  const device = {
    scale: camera.scale * ratio,
    left: camera.left * ratio,
    top: camera.top * ratio,
    fitted: camera.fitted * ratio,
  };
  const radius = radiusOf(scene.n, width, height, camera.scale / camera.fitted) * ratio;
  const drawn = drawPoints(pixels, canvas.width, canvas.height, points, look, device, radius);
  context.putImageData(image, 0, 0);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  shownTiles =
    drawn * PER_THUMBNAIL <= width * height
      ? chosenThumbnails(points, look, camera, width, height, sideOfTiles())
      : [];
  drawTiles(look);
  drawArea();
  drawRing(scene.opened, 3);
  drawRing(scene.hovered, 2);
  context.setTransform(1, 0, 0, 1, 0, 0);
  statistics.frames++;
  statistics.milliseconds += performance.now() - began;
}

/** Return the side of a thumbnail in pixels. */
const sideOfTiles = () =>
  Math.max(LEAST_SIDE, Math.min(MOST_SIDE, Math.round(22 * (camera.scale / camera.fitted) ** 0.5 + 16)));

/** @param {import("./map_points.js").Look} look */
function drawTiles(look) {
  const side = sideOfTiles();
  const missing = [];
  for (const row of shownTiles) {
    const tile = tileOf(row);
    const [x, y] = pixelOf(row);
    if (!tile) {
      missing.push(row);
      continue;
    }
    context.globalAlpha = look.levels[row] === FULL ? 1 : 0.35;
    context.fillStyle = scene.css[look.codes[row]];
    context.fillRect(x - side / 2, y - side / 2, side, side);
    const inner = side - 4;
    context.drawImage(
      tile.picture,
      tile.left,
      tile.top,
      tile.side,
      tile.side,
      x - inner / 2,
      y - inner / 2,
      inner,
      inner,
    );
  }
  context.globalAlpha = 1;
  requestTiles(missing);
}

function drawArea() {
  const corners = scene.area?.map(([x, y]) => [
    x * camera.scale + camera.left,
    y * camera.scale + camera.top,
  ]);
  for (const path of [corners, scene.path]) {
    if (!path || path.length < 2) continue;
    context.beginPath();
    for (const [x, y] of path) context.lineTo(x, y);
    context.closePath();
    context.fillStyle = colour("accent");
    context.globalAlpha = 0.08;
    context.fill();
    context.globalAlpha = 1;
    context.strokeStyle = colour("accent");
    context.lineWidth = 1.75;
    context.setLineDash(path === scene.path ? [5, 4] : []);
    context.stroke();
    context.setLineDash([]);
  }
}

/**
 * @param {number} row
 * @param {number} line
 */
function drawRing(row, line) {
  if (row < 0 || !scene.points) return;
  const [x, y] = pixelOf(row);
  const half = shownTiles.includes(row) ? sideOfTiles() / 2 + 2 : 9;
  context.lineWidth = line + 3;
  context.strokeStyle = colour("panel");
  context.strokeRect(x - half, y - half, 2 * half, 2 * half);
  context.lineWidth = line;
  context.strokeStyle = colour(line > 2 ? "accent" : "ink");
  context.strokeRect(x - half, y - half, 2 * half, 2 * half);
}

new ResizeObserver(oncePerFrame(resize)).observe(canvas);
onTiles(redraw);
