/** Order of the images in the gallery. */

/** @typedef {{rows: Int32Array, teacher: Float32Array, student: Float32Array, codes: Uint8Array}} Images */
/** @typedef {"disagreement" | "teacher" | "student" | "name"} Order */

/**
 * Return the indices of images in the order shown.
 * @param {Images} all
 * @param {Order} by
 * @param {(row: number) => string | null} name
 */
export function ordered(all, by, name) {
  const { rows, teacher, student } = all;
  const indices = Array.from(rows, (_, i) => i);
  const keys = {
    disagreement: (/** @type {number} */ i) => Math.abs(teacher[i] - student[i]),
    teacher: (/** @type {number} */ i) => teacher[i],
    student: (/** @type {number} */ i) => student[i],
  };
  if (by === "name") {
    const text = rows.length ? indices.map((i) => name(rows[i]) ?? "") : [];
    return indices.sort((a, b) => (text[a] < text[b] ? -1 : text[a] > text[b] ? 1 : 0));
  }
  return indices.sort((a, b) => keys[by](b) - keys[by](a));
}
