/** Modules that are loaded at first use, so that the first page stays small: see `theme.py`. */

import { h } from "./elements.js";
import { showMessage } from "./messages.js";

/**
 * @typedef {object} LateModules
 * @property {{startMap: (host: HTMLElement, opener: HTMLElement) => void}} map
 * @property {{openMatrix: () => Promise<void>}} matrix
 * @property {{openComparison: (a?: string, b?: string) => Promise<void>}} comparison
 * @property {{startOwnConcept: (image: import("./payloads").OwnImage, stage: HTMLElement,
 *   panel: HTMLElement, close: () => void, cancel: () => void) => true}} ownConcept
 * @property {{openDiscovery: (cls?: string) => Promise<void>}} discovery
 * @property {{openWords: () => Promise<void>}} words
 */

/** @type {Promise<LateModules> | null} */
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

const ignore = () => {}; // A message says that the script could not be loaded.

/** Show the weights of all classes. */
export const openMatrix = () => late().then(({ matrix }) => matrix.openMatrix(), ignore);

/**
 * Compare two sides; see `compare_dialog.js`.
 * @param {string} [a]
 * @param {string} [b]
 */
export const openComparison = (a, b) =>
  late().then(({ comparison }) => comparison.openComparison(a, b), ignore);

/**
 * Find concepts without words; see `discovery_dialog.js`.
 * @param {string} [cls]
 */
export const openDiscovery = (cls) => late().then(({ discovery }) => discovery.openDiscovery(cls), ignore);

/** Choose the words of the students; see `words_dialog.js`. */
export const openWords = () => late().then(({ words }) => words.openWords(), ignore);

/**
 * Choose regions of an own image; see `own_concept.js`.
 * @param {import("./payloads").OwnImage} image
 * @param {HTMLElement} stage
 * @param {HTMLElement} panel
 * @param {() => void} close
 * @param {() => void} cancel
 */
export const startOwnConcept = (image, stage, panel, close, cancel) =>
  late().then(({ ownConcept }) => ownConcept.startOwnConcept(image, stage, panel, close, cancel), ignore);
