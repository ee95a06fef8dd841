/** Thumbnails of the map, which arrive in pictures of 64. */

import { call } from "../../browser/server.js";

const PER_REQUEST = 64;
const MOST_PICTURES = 60;
/** Time without a change of the view after which missing thumbnails are requested. */
const REST_MILLISECONDS = 60;
const RETRY_MILLISECONDS = 5000;

/** @typedef {{picture: HTMLImageElement, left: number, top: number, side: number}} Tile */

/** @type {Map<number, Tile>} */
const tiles = new Map();
/** Rows of each picture, the oldest first. @type {number[][]} */
let pictures = [];
/** @type {number[]} */
let wanted = [];
let timer = 0;
let requesting = false;
let notBefore = 0;
/** @type {() => void} */
let onArrival = () => {};

/**
 * Set what is called when thumbnails have arrived.
 * @param {() => void} listener
 */
export const onTiles = (listener) => {
  onArrival = listener;
};

/**
 * Return the thumbnail of an image, or undefined while it is on its way.
 * @param {number} row
 */
export const tileOf = (row) => tiles.get(row);

/**
 * Request the thumbnails of images; later calls replace earlier ones.
 * @param {number[]} rows
 */
export function requestTiles(rows) {
  wanted = rows.filter((row) => !tiles.has(row));
  if (!wanted.length || requesting) return;
  clearTimeout(timer);
  timer = setTimeout(fetchTiles, Math.max(REST_MILLISECONDS, notBefore - performance.now()));
}

async function fetchTiles() {
  if (requesting || !wanted.length) return;
  requesting = true;
  try {
    const response = await call("map_tiles", { rows: wanted.slice(0, PER_REQUEST) }, { quiet: true });
    if (!response.tiles) throw new Error(response.error);
    await keep(response.tiles);
    onArrival();
  } catch {
    // A lost connection is shown by the banner; the points stay.
    notBefore = performance.now() + RETRY_MILLISECONDS;
  } finally {
    requesting = false;
  }
  requestTiles(wanted);
}

/** @param {import("../../browser/payloads").MapTiles} found */
async function keep({ rows, url, tile, columns }) {
  const picture = new Image();
  picture.src = url;
  await picture.decode();
  rows.forEach((row, i) => {
    const [left, top] = [(i % columns) * tile, Math.floor(i / columns) * tile];
    tiles.set(row, { picture, left, top, side: tile });
  });
  pictures.push(rows);
  while (pictures.length > MOST_PICTURES) for (const row of pictures.shift() ?? []) tiles.delete(row);
}

/** Forget all thumbnails: they belong to another project. */
export function clearTiles() {
  tiles.clear();
  pictures = [];
  wanted = [];
}
