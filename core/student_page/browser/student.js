/** Arithmetic of a student: concept values, contributions, probabilities. */

/**
 * @typedef {import("./types.d.ts").Student} Student
 * @typedef {import("./types.d.ts").Encoding} Encoding
 * @typedef {{concept: number, weight: number, value: number, contribution: number}} Contribution
 */

/** Regions are shown whose cosine is at most this share of the range below the largest, as in `localise.py`. */
const TOLERANCE = 0.25;

/**
 * Values of the concepts: the largest cosine over the regions, at least 0; and the regions that show each.
 * @param {Encoding} encoding
 * @param {number} count Number of concepts.
 * @returns {{values: Float64Array, evidence: boolean[][]}} For each concept, whether each region shows it.
 */
export function conceptValues(encoding, count) {
  const values = new Float64Array(count);
  const evidence = [];
  for (let k = 0; k < count; k++) {
    const cosines = [];
    for (let at = k; at < encoding.cosines.length; at += count) cosines.push(encoding.cosines[at]);
    const best = Math.max(...cosines);
    const least = best - TOLERANCE * (best - Math.min(...cosines));
    evidence.push(cosines.map((cosine) => cosine >= least));
    values[k] = Math.max(0, best);
  }
  return { values, evidence };
}

/**
 * Contributions of a class's concepts to its logit, the largest weight first.
 * @param {Student} student
 * @param {number} cls
 * @param {Float64Array} values Concept values of a picture.
 * @param {Map<string, number>} factors Factors of changed weights, by `factorKey`.
 * @returns {Contribution[]}
 */
export function contributions(student, cls, values, factors) {
  return student.weights[cls].map(([concept, original]) => {
    const weight = original * (factors.get(factorKey(cls, concept)) ?? 1);
    const standardised = (values[concept] - student.mean[concept]) / student.scale[concept];
    return { concept, weight, value: values[concept], contribution: weight * standardised };
  });
}

/**
 * Key of a changed weight.
 * @param {number} cls
 * @param {number} concept
 */
export function factorKey(cls, concept) {
  return `${cls} ${concept}`;
}

/**
 * Class probabilities of a picture.
 * @param {Student} student
 * @param {Float64Array} values
 * @param {Map<string, number>} factors
 * @returns {number[]}
 */
export function probabilities(student, values, factors) {
  const logits = student.classes.map((_, cls) =>
    contributions(student, cls, values, factors).reduce((sum, c) => sum + c.contribution, student.bias[cls]),
  );
  if (student.link === "sigmoid") return logits.map((z) => 1 / (1 + Math.exp(-z)));
  const largest = Math.max(...logits);
  const powers = logits.map((z) => Math.exp(z - largest));
  const total = powers.reduce((sum, p) => sum + p, 0);
  return powers.map((p) => p / total);
}
