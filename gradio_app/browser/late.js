/** Modules that are loaded at first use, so that the first page stays small: see `theme.py`. */

import { h } from "./elements.js";
import { showMessage } from "./messages.js";

/** @typedef {{map: {startMap: (host: HTMLElement, opener: HTMLElement) => void}}} MapModule */
/** @typedef {{matrix: {openMatrix: () => void}}} MatrixModule */

/** @type {Promise<MapModule & MatrixModule> | null} */
let loading = null;

/** Load the modules; rejects after a message if the server cannot be reached. */
export function late() {
  loading ??= new Promise((resolve, reject) => {
    const script = h("script", { src: "late.js" });
    script.addEventListener("load", () => resolve(/** @type {any} */ (window).inficond.late));
    script.addEventListener("error", () => {
      loading = null;
      script.remove();
      showMessage("A part of the page could not be loaded: try again.", { tone: "bad" });
      reject(new Error("late.js could not be loaded"));
    });
    document.head.append(script);
  });
  return loading;
}
