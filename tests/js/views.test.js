import assert from "node:assert/strict";
import { test } from "node:test";
import { unpackShares } from "../../gradio_app/browser/columns.js";
import { brushRange, layOut, pathOf } from "../../gradio_app/views/influence/dots.js";
import { decodeValues, highlightOf } from "../../gradio_app/views/instances/highlight.js";
import { ordered } from "../../gradio_app/views/instances/order.js";
import { placesOf } from "../../gradio_app/views/instances/sheets.js";
import { sortedClasses, subsetShares } from "../../gradio_app/views/performance/classes.js";
import { cellShade, largestConfusions } from "../../gradio_app/views/performance/confusion_cells.js";
import { edgePath } from "../../gradio_app/views/provenance/graph.js";

const packed = (array) => Buffer.from(array.buffer).toString("base64");
const POINTS = {
  rows: packed(new Int32Array([7, 3, 9])),
  sides: packed(new Uint8Array([0, 1, 0])),
  concepts: ["sea"],
  values: { low: [0.1], high: [0.3], bytes: packed(new Uint8Array([0, 128, 255])) },
};

test("unpackShares returns numbers in [0, 1]", () => {
  assert.deepEqual([...unpackShares(packed(new Uint16Array([0, 65535])))], [0, 1]);
});

test("dots of agreeing images lie above the line, of misaligned ones below", () => {
  const { strips } = layOut(POINTS);
  const { x, y } = strips.get("sea");
  assert.ok(x[0] < x[1] && x[1] < x[2]);
  assert.ok(y[0] < 14 && y[1] > 14 && y[2] < 14);
  assert.equal(
    pathOf(strips.get("sea"), (i) => i === 0),
    `M${x[0].toFixed(1)} ${y[0].toFixed(1)}h0`,
  );
});

test("dots of equal value are stacked", () => {
  const rows = new Int32Array([0, 1, 2]);
  const bytes = new Uint8Array([10, 10, 10]);
  const same = { ...POINTS, rows: packed(rows), sides: packed(new Uint8Array(3)) };
  const { y } = layOut({ ...same, values: { low: [0], high: [1], bytes: packed(bytes) } }).strips.get("sea");
  assert.equal(new Set(y).size, 3);
});

test("a brush holds the images in its range and its values", () => {
  const found = brushRange(layOut(POINTS), "sea", [40, 100]);
  assert.deepEqual([...found.rows].sort(), [3, 9]);
  assert.ok(found.low > 0.1 && found.low < 0.2 && found.high > 0.29 && found.high < 0.31);
  assert.equal(brushRange(layOut(POINTS), "unknown", [0, 1]), null);
});

test("a hovered concept highlights images by their value, a brush by its range", () => {
  const values = decodeValues({ rows: POINTS.rows, concepts: ["sea"], values: POINTS.values });
  const hovered = highlightOf(values, null, "sea");
  assert.deepEqual([7, 3, 9, 1].map(hovered), [0, 128 / 255, 1, 0]);
  const brush = { concept: "sea", low: 0.15, high: 0.25, at: [0, 1], rows: new Set() };
  assert.deepEqual([7, 3, 9].map(highlightOf(values, brush, null)), [0, 1, 0]);
});

test("without values a brush highlights the images of its dots, and a hover none", () => {
  const brush = { concept: "sea", low: 0, high: 1, at: [0, 1], rows: new Set([9]) };
  assert.deepEqual([7, 9].map(highlightOf(null, brush, null)), [0, 1]);
  assert.equal(highlightOf(null, null, "sea"), null);
});

test("images are ordered by disagreement, response or name", () => {
  const images = {
    rows: new Int32Array([5, 6, 7]),
    teacher: new Float32Array([0.9, 0.5, 0.1]),
    student: new Float32Array([0.8, 0.9, 0.1]),
    codes: new Uint8Array(3),
  };
  const names = new Map([
    [5, "c"],
    [6, "a"],
    [7, "b"],
  ]);
  const order = (by) => ordered(images, by, (row) => names.get(row));
  assert.deepEqual(order("disagreement"), [1, 0, 2]);
  assert.deepEqual(order("teacher"), [0, 1, 2]);
  assert.deepEqual(order("student"), [1, 0, 2]);
  assert.deepEqual(order("name"), [1, 2, 0]);
});

test("held-out images come first on the sheets", () => {
  assert.deepEqual([...placesOf(5, new Int32Array([4, 1]))], [2, 1, 3, 4, 0]);
});

const line = (name, ap, missed, extra, nec) => ({
  name,
  ap: { value: ap, low: null, high: null },
  counts: { "agree-pos": 4, "agree-neg": 9, missed, extra },
  nec,
  truth: null,
});

test("classes are sorted by what a column shows, unknown values last", () => {
  const classes = [line("a", null, 1, 1, 5), line("b", 0.9, 5, 1, 2), line("c", 0.2, 0, 0, 9)];
  const names = (order) => sortedClasses(classes, order, "ap").map((one) => one.name);
  assert.deepEqual(names("class"), ["a", "b", "c"]);
  assert.deepEqual(names("fidelity"), ["c", "b", "a"]);
  assert.deepEqual(names("images"), ["b", "a", "c"]);
  assert.deepEqual(names("NEC"), ["c", "a", "b"]);
});

test("widths of subsets are square roots of their shares", () => {
  const shares = subsetShares({ "agree-pos": 0, "agree-neg": 75, missed: 25, extra: 0 });
  assert.equal(shares.missed, 0.5);
  assert.equal(shares.extra, 0);
  assert.equal(subsetShares({ "agree-pos": 0, "agree-neg": 0, missed: 0, extra: 0 }).missed, 0);
});

const CONFUSION = {
  reference: "label",
  classes: ["rose", "tulip", "daisy"],
  cells: [
    { actual: 0, predicted: 0, n: 9 },
    { actual: 1, predicted: 0, n: 2 },
    { actual: 0, predicted: 2, n: 5 },
  ],
};

test("the largest confusions leave out the diagonal", () => {
  assert.deepEqual(
    largestConfusions(CONFUSION, 1).map(({ actual, predicted }) => [actual, predicted]),
    [[0, 2]],
  );
  assert.equal(largestConfusions(CONFUSION, 9).length, 2);
});

test("cells are shaded by the share of their row", () => {
  assert.equal(cellShade(0, 10), 0);
  assert.equal(Number(cellShade(10, 10)), 1);
  assert.ok(Number(cellShade(5, 10)) > Number(cellShade(1, 10)));
});

test("lines of the tree start and end at the lanes of their steps", () => {
  assert.equal(edgePath([0, 0, "through", true]), "M9 0V30");
  assert.equal(edgePath([1, 1, "up", true]), "M23 0V15");
  assert.equal(edgePath([1, 1, "down", true]), "M23 15V30");
  assert.match(edgePath([1, 0, "join", false]), /^M23 0C.*,9 15$/);
});
