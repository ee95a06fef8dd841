/** Thumbnails: tiles that show their part of a sheet. */

import { unpackIntegers } from "../../browser/columns.js";
import { call } from "../../browser/server.js";

/** @typedef {import("../../browser/payloads").GalleryIndex} GalleryIndex */

/** @type {GalleryIndex | null} */
let index = null;
/** Place of each image on the sheets: held-out images come first. */
let places = new Int32Array(0);
/** Names of the images that are seen first; all names arrive later. @type {Map<number, string>} */
let firstNames = new Map();
/** @type {string[] | null} */
let names = null;
/** Sheets on their way, by number. @type {Map<number, Promise<void>>} */
const requested = new Map();
/** The sheet that each tile shows. @type {WeakMap<HTMLElement, number>} */
const sheetOf = new WeakMap();

/**
 * Set the layout of the sheets.
 * @param {GalleryIndex} data
 */
export function setIndex(data) {
  index = data;
  firstNames = new Map(Array.from(unpackIntegers(data.rows), (row, i) => [row, data.ids[i]]));
  places = placesOf(data.n, unpackIntegers(data.held_out));
}

/** @param {string[]} all */
export const setNames = (all) => {
  names = all;
};

/**
 * Return the id of an image, or null while the names are on their way.
 * @param {number} row
 */
export const nameOf = (row) => names?.[row] ?? firstNames.get(row) ?? null;

/** Return whether the layout of the sheets is known. */
export const hasIndex = () => index !== null;

/** Return whether all names are known. */
export const hasNames = () => names !== null;

/**
 * Return the place of each image on the sheets: held-out images first, then the others, each in their order.
 * @param {number} n
 * @param {Int32Array} heldOut
 */
export function placesOf(n, heldOut) {
  const found = new Int32Array(n).fill(-1);
  heldOut.forEach((row, place) => {
    found[row] = place;
  });
  let next = heldOut.length;
  for (let row = 0; row < n; row++) if (found[row] < 0) found[row] = next++;
  return found;
}

/**
 * Show an image in a tile.
 * @param {HTMLElement} tile
 * @param {number} row
 * @param {number} side Width and height of the tile in pixels.
 */
export function showThumbnail(tile, row, side) {
  if (!index) return;
  const number = Math.floor(places[row] / index.per_sheet);
  const place = places[row] % index.per_sheet;
  tile.style.backgroundSize = `${index.columns * side}px auto`;
  const x = (place % index.columns) * side;
  const y = Math.floor(place / index.columns) * side;
  tile.style.backgroundPosition = `-${x}px -${y}px`;
  sheetOf.set(tile, number);
  showSheet(tile, number, index);
}

/**
 * Show a sheet in a tile, as soon as it is there.
 * @param {HTMLElement} tile
 * @param {number} number
 * @param {GalleryIndex} current
 */
function showSheet(tile, number, current) {
  const url = current.sheets[number];
  tile.style.backgroundImage = url ? `url("${url}")` : "none";
  if (url) return;
  if (!requested.has(number)) requested.set(number, requestSheet(number, current));
  requested.get(number)?.then(() => {
    // The tile may show another image by then.
    if (current === index && sheetOf.get(tile) === number && current.sheets[number])
      showSheet(tile, number, current);
  });
}

/**
 * @param {number} number
 * @param {GalleryIndex} current
 */
async function requestSheet(number, current) {
  try {
    const response = await call("sheet", { number }, { quiet: true });
    if (response.url) current.sheets[number] = response.url;
  } catch {
    // A lost connection is shown by the banner.
  } finally {
    requested.delete(number);
  }
}
