/** Images that a person picks or drops in the browser, with the folders that they lie in. */

import { h, setText } from "./elements.js";
import { emit } from "./events.js";
import { upload } from "./server.js";

/** @typedef {{file: File, name: string}} Picked `name`: path below the picked folder. */

const IMAGE = /\.(avif|bmp|gif|hei[cf]|jpe?g|jp2|pcx|png|ppm|qoi|tga|tiff?|webp)$/i;

/**
 * Return the images of a file input; a picked folder contributes its sub-folders.
 * @param {Iterable<File>} files
 * @returns {Picked[]}
 */
export const pickedFiles = (files) =>
  [...files]
    .map((file) => ({ file, name: file.webkitRelativePath || file.name }))
    .filter(({ file }) => file.type.startsWith("image/") || IMAGE.test(file.name));

/**
 * Return the images of a drop, folders included.
 * @param {DataTransfer} transfer
 * @returns {Promise<Picked[]>}
 */
export async function droppedFiles(transfer) {
  const entries = [...transfer.items]
    .map((item) => item.webkitGetAsEntry())
    .filter((entry) => entry !== null);
  const found = await Promise.all(entries.map((entry) => filesBelow(entry)));
  return found.flat().filter(({ file }) => file.type.startsWith("image/") || IMAGE.test(file.name));
}

/**
 * @param {FileSystemEntry} entry
 * @returns {Promise<Picked[]>}
 */
async function filesBelow(entry) {
  if (entry.isFile) {
    const one = /** @type {FileSystemFileEntry} */ (entry);
    const file = await new Promise((resolve, reject) => one.file(resolve, reject));
    return [{ file, name: entry.fullPath.replace(/^\//, "") }];
  }
  const reader = /** @type {FileSystemDirectoryEntry} */ (entry).createReader();
  const found = [];
  for (;;) {
    /** @type {FileSystemEntry[]} */
    const batch = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!batch.length) return found;
    for (const inner of batch) found.push(...(await filesBelow(inner)));
  }
}

/**
 * Describe picked images in a line: their number, and the folders that will be classes.
 * @param {Picked[]} picked
 */
export function describePicked(picked) {
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const { name } of picked) {
    const folder = name.split("/").at(-2) ?? "";
    counts.set(folder, (counts.get(folder) ?? 0) + 1);
  }
  const images = `${picked.length} image${picked.length === 1 ? "" : "s"}`;
  if (counts.size < 2) return images;
  const shown = [...counts].sort().slice(0, 8);
  const more = counts.size > shown.length ? ", …" : "";
  const folders = shown.map(([folder, n]) => `${folder || "(no folder)"} ${n}`).join(", ");
  return `${images} in ${counts.size} folders: ${folders}${more}`;
}

/**
 * Upload images one by one; an image that cannot be uploaded is left out and named.
 * @param {Picked[]} picked
 * @param {HTMLElement} place
 * @param {() => boolean} wanted
 */
export async function uploadAll(picked, place, wanted) {
  const sent = [];
  const line = h("p", { class: "muted", role: "status" });
  if (picked.length) place.append(line);
  for (const [i, { file, name }] of picked.entries()) {
    setText(line, `Uploading ${i + 1} of ${picked.length}…`);
    try {
      sent.push({ path: (await upload(file)).path, name });
    } catch {
      emit("message", { line: `“${file.name}” could not be uploaded; it is left out.`, tone: "bad" });
    }
    if (!wanted()) break;
  }
  line.remove();
  return sent;
}
