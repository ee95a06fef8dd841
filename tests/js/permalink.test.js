import assert from "node:assert/strict";
import { test } from "node:test";
import {
  changedFields,
  EMPTY,
  fromFragment,
  toFragment,
  withChange,
} from "../../gradio_app/browser/permalink.js";

const SELECTION = {
  cls: "boat & <b>ship</b>",
  subset: "missed",
  slice: null,
  concepts: ["sea", "a=b&c"],
  image: "a/b #1.jpg",
  scope: "all",
  actual: "rose",
  predicted: "tulip & lily",
  reference: "teacher",
  moved: "a~teacher~yes-no",
  area: "pca.000000zzz000zzzzzz",
};

test("a selection survives the address", () => {
  assert.deepEqual(fromFragment(`#${toFragment(SELECTION)}`), SELECTION);
  assert.deepEqual(fromFragment(""), EMPTY);
});

test("an area of the map is kept with every class", () => {
  assert.equal(withChange(SELECTION, { cls: "barn" }).area, SELECTION.area);
  assert.equal(withChange(SELECTION, { slice: "s" }).area, SELECTION.area);
});

test("a fragment yields at most 40 concepts", () => {
  const many = Array.from({ length: 60 }, (_, i) => `concept=c${i}`).join("&");
  assert.equal(fromFragment(many).concepts.length, 40);
});

test("a slice excludes the filters by class", () => {
  const sliced = withChange(SELECTION, { slice: "s" });
  assert.equal(sliced.actual, null);
  assert.equal(sliced.predicted, null);
  assert.equal(sliced.moved, null);
  assert.equal(withChange(sliced, { actual: "rose" }).slice, null);
  assert.equal(withChange(SELECTION, { cls: "barn" }).predicted, null);
  assert.equal(withChange(SELECTION, { cls: "rose", actual: "rose" }).actual, "rose");
});

test("another class clears subset and slice unless the change sets them", () => {
  const changed = withChange({ ...SELECTION, slice: "s" }, { cls: "barn" });
  assert.equal(changed.subset, null);
  assert.equal(changed.slice, null);
  assert.equal(withChange(SELECTION, { cls: "barn", subset: "extra" }).subset, "extra");
});

test("subset and slice exclude each other", () => {
  assert.equal(withChange(SELECTION, { slice: "s" }).subset, null);
  assert.equal(withChange({ ...SELECTION, subset: null, slice: "s" }, { subset: "extra" }).slice, null);
});

test("changedFields compares concepts by value", () => {
  assert.deepEqual(changedFields(SELECTION, { ...SELECTION, concepts: [...SELECTION.concepts] }), []);
  assert.deepEqual(changedFields(SELECTION, { ...SELECTION, concepts: ["sea"], image: null }), [
    "concepts",
    "image",
  ]);
});
