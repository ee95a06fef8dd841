import assert from "node:assert/strict";
import { test } from "node:test";

import { regionsIn } from "../../gradio_app/browser/region_picture.js";

// Four columns and two rows: region 0 on the left, 1 and 2 on the right, one above the other.
const IMAGE = { regions: [0, 0, 1, 1, 0, 0, 2, 2], grid: [2, 4], crop: [0, 0, 1, 1] };
const point = (x, y) => ({ x, y });

test("a box picks the regions of which it covers at least half", () => {
  assert.deepEqual(regionsIn(IMAGE, point(0, 0), point(0.5, 1)), [0]);
  assert.deepEqual(regionsIn(IMAGE, point(0.26, 0), point(1, 0.5)), [1]);
  assert.deepEqual(regionsIn(IMAGE, point(1, 1), point(0, 0)), [0, 1, 2]);
});

test("a small box picks the region that fills most of it", () => {
  assert.deepEqual(regionsIn(IMAGE, point(0.45, 0.1), point(0.6, 0.2)), [1]);
});

test("a click picks the region at the point", () => {
  assert.deepEqual(regionsIn(IMAGE, point(0.9, 0.9), point(0.9, 0.9)), [2]);
  assert.deepEqual(regionsIn(IMAGE, point(1, 1), point(1, 1)), []);
});

test("only the part that the encoder sees has regions", () => {
  const image = { ...IMAGE, crop: [0.25, 0, 0.75, 1] };
  assert.deepEqual(regionsIn(image, point(0.1, 0.5), point(0.1, 0.5)), []);
  assert.deepEqual(regionsIn(image, point(0, 0), point(0.2, 1)), []);
  assert.deepEqual(regionsIn(image, point(0.3, 0.2), point(0.3, 0.2)), [0]);
});
