/** Downloads and the clipboard. */

import { h } from "./elements.js";

/**
 * Download a file.
 * @param {string} name
 * @param {string} url
 */
export function download(name, url) {
  const link = h("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
}

/**
 * Download data of the page.
 * @param {string} name
 * @param {Blob} blob
 */
export function downloadBlob(name, blob) {
  const url = URL.createObjectURL(blob);
  download(name, url);
  setTimeout(() => URL.revokeObjectURL(url), 4000);
}

/**
 * Copy a line to the clipboard; return whether the browser allowed it.
 * @param {string} line
 */
export async function copy(line) {
  try {
    await navigator.clipboard.writeText(line);
    return true;
  } catch {
    // The clipboard interface needs HTTPS; the older command does not.
    const box = h("textarea", { class: "offstage", readonly: true }, line);
    document.body.append(box);
    box.select();
    const done = document.execCommand("copy");
    box.remove();
    return done;
  }
}
