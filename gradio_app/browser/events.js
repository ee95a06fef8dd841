/**
 * Events between the modules of the page, with their details.
 *
 * - `select` {changed}: the selection changed.
 * - `part:NAME` data, `failed:NAME` line, `postponed:NAME` line: the state of a part.
 * - `busy`, `settled` [names]: parts are requested, have arrived. `drawn` count: a set of parts is drawn.
 * - `hover` concept, `hover-image` row, `brush` range: images or dots to highlight.
 * - `pending`, `preview` preview, `preview-due` boolean: pending actions and their preview.
 * - `acting` boolean, `node` response: a step is on its way, is done.
 * - `tune-key` {concept, event}: a key that tunes a concept was pressed outside its slider.
 * - `start` response, `online` boolean, `message` {line, tone}, `theme` dark, `exported` kind.
 */

/** @type {Map<string, Set<(detail: any) => void>>} */
const listeners = new Map();

/**
 * Add a listener and return the function that removes it.
 * @param {string} event
 * @param {(detail: any) => void} listener
 */
export function on(event, listener) {
  const known = listeners.get(event) ?? new Set();
  listeners.set(event, known.add(listener));
  return () => known.delete(listener);
}

/**
 * Call the listeners of an event. An exception in one of them does not stop the others.
 * @param {string} event
 * @param {any} [detail]
 */
export function emit(event, detail) {
  for (const listener of listeners.get(event) ?? []) {
    try {
      listener(detail);
    } catch (error) {
      console.error(`a listener of "${event}" failed`, error);
    }
  }
}
