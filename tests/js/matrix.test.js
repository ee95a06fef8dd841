import assert from "node:assert/strict";
import { test } from "node:test";

import { orderedClasses, orderedConcepts, unpacked } from "../../gradio_app/browser/matrix_order.js";

const packed = (array) => Buffer.from(array.buffer).toString("base64");
const PAYLOAD = {
  classes: ["boat", "bird", "barn"],
  concepts: ["water", "wing", "door"],
  groups: ["scene", "animal", "thing"],
  n_concepts: 9,
  rows: packed(Int32Array.of(0, 0, 1, 2)),
  columns: packed(Int32Array.of(0, 2, 1, 2)),
  weights: packed(Float32Array.of(0.5, -0.25, 0.75, 0.125)),
  class_order: packed(Int32Array.of(2, 0, 1)),
  concept_order: packed(Int32Array.of(1, 0, 2)),
  exclusive: true,
  pairs: [
    { actual: "bird", predicted: "boat", images: 3 },
    { actual: "bird", predicted: "barn", images: 2 },
  ],
};

test("the matrix holds every weight at its place", () => {
  const matrix = unpacked(PAYLOAD);
  assert.deepEqual([...matrix.weights], [0.5, 0, -0.25, 0, 0.75, 0, 0, 0, 0.125]);
  assert.deepEqual([...matrix.sharing], [1, 1, 2]);
  assert.equal(matrix.largest, 0.75);
});

test("classes and concepts are sorted", () => {
  const matrix = unpacked(PAYLOAD);
  assert.deepEqual(orderedClasses(matrix, "similar"), [2, 0, 1]);
  assert.deepEqual(orderedClasses(matrix, "confused"), [1, 0, 2]);
  assert.deepEqual(orderedClasses(matrix, "concepts"), [0, 1, 2]);
  assert.deepEqual(orderedClasses(matrix, "name"), [2, 1, 0]);
  assert.deepEqual(orderedClasses(matrix, "project"), [0, 1, 2]);
  assert.deepEqual(orderedConcepts(matrix, "shared"), [2, 1, 0]);
  assert.deepEqual(orderedConcepts(matrix, "similar"), [1, 0, 2]);
  assert.deepEqual(orderedConcepts(matrix, "weight"), [1, 0, 2]);
  assert.deepEqual(orderedConcepts(matrix, "group"), [1, 0, 2]);
});
