/** Values that the browser keeps. A browser in private mode may keep nothing. */

/** @param {() => Storage} storage */
const keeper = (storage) => ({
  /**
   * @param {string} key
   * @returns {string | null}
   */
  get(key) {
    try {
      return storage().getItem(`inficond.${key}`);
    } catch {
      return null;
    }
  },
  /**
   * @param {string} key
   * @param {string} value
   */
  set(key, value) {
    try {
      storage().setItem(`inficond.${key}`, value);
    } catch {
      // Without storage the setting lasts until the page is closed.
    }
  },
});

/** Settings of this browser. */
export const settings = keeper(() => localStorage);

/** State of this tab: survives a reload. */
export const tab = keeper(() => sessionStorage);

/**
 * Return a stored setting if it is one of the allowed values, else the default.
 * @template {string} T
 * @param {string} key
 * @param {readonly T[]} allowed
 * @param {T} otherwise
 * @returns {T}
 */
export function choice(key, allowed, otherwise) {
  const stored = settings.get(key);
  return allowed.find((value) => value === stored) ?? otherwise;
}
