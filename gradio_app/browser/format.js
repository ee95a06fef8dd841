/** Numbers and durations as text. */

const MINUS = "\u2212";
const MISSING = "–";

/**
 * Return whether a value is a finite number.
 * @param {unknown} x
 * @returns {x is number}
 */
const isNumber = (x) => typeof x === "number" && Number.isFinite(x);

/**
 * Format a number with fixed digits; a missing value becomes an en dash.
 * @param {number | null | undefined} x
 * @param {number} [digits]
 */
export function number(x, digits = 2) {
  if (!isNumber(x)) return MISSING;
  return x
    .toFixed(digits)
    .replace(/^-(?=0\.?0*$)/, "")
    .replace("-", MINUS);
}

/**
 * Format a value in [0, 1] without its leading zero, as tables do: 0.31 becomes ".31".
 * @param {number | null | undefined} x
 */
export const compact = (x) => number(x).replace(/^0\./, ".");

/**
 * Format a number with its sign; a value that rounds to zero has none.
 * @param {number | null | undefined} x
 * @param {number} [digits]
 */
export function signed(x, digits = 2) {
  if (!isNumber(x)) return MISSING;
  const text = Math.abs(x).toFixed(digits);
  if (Number(text) === 0) return text;
  return (x < 0 ? MINUS : "+") + text;
}

/**
 * Remove the leading zeros of signed numbers in a text: "+0.34" becomes "+.34".
 * @param {string} text
 */
export const withoutLeadingZeros = (text) => text.replace(/([+\u2212])0\./g, "$1.");

/**
 * Format a share in [0, 1] as a whole percentage.
 * @param {number | null | undefined} x
 */
export const percent = (x) => (isNumber(x) ? `${Math.round(100 * x)} %` : MISSING);

/**
 * Format a count with narrow spaces between thousands.
 * @param {number | null | undefined} n
 */
export const count = (n) => (isNumber(n) ? n.toLocaleString("en-US").replace(/,/g, "\u202f") : MISSING);

/**
 * Format a duration in seconds.
 * @param {number | null | undefined} seconds
 */
export function duration(seconds) {
  if (!isNumber(seconds)) return "";
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${String(s % 60).padStart(2, "0")} s`;
  return `${Math.floor(s / 3600)} h ${String(Math.floor((s % 3600) / 60)).padStart(2, "0")} min`;
}

/**
 * Return "s" unless the count is one.
 * @param {number} n
 */
export const plural = (n) => (n === 1 ? "" : "s");

/**
 * Return a round number at or above `x`, for the end of an axis.
 * @param {number} x
 */
export function axisLimit(x) {
  if (!(x > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(x));
  const step = [1, 1.5, 2, 3, 4, 5, 7.5].find((m) => x <= m * power * 1.0001);
  return (step ?? 10) * power;
}
