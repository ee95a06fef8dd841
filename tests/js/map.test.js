import assert from "node:assert/strict";
import { test } from "node:test";

import { fitted, kept, panned, zoomed } from "../../gradio_app/views/instances/map_camera.js";
import {
  formatArea,
  MOST_CORNERS,
  parseArea,
  simplified,
} from "../../gradio_app/views/instances/map_lasso.js";
import {
  drawPoints,
  FULL,
  HIDDEN,
  indexed,
  mixed,
  nearest,
  within,
} from "../../gradio_app/views/instances/map_points.js";

const BOX = { left: 0, top: 0.25, right: 1, bottom: 0.75 };
const N = 5000;
let seed = 1;
const random = () => {
  seed = (seed * 48271) % 2147483647;
  return seed / 2147483647;
};
const points = indexed(Float32Array.from({ length: N }, random), Float32Array.from({ length: N }, random));

test("the whole map fits into the window, and a zoom keeps the point under the pointer", () => {
  const camera = fitted(BOX, 400, 300);
  assert.ok(camera.left >= 0 && camera.left + camera.scale <= 400);
  assert.ok(camera.top + camera.scale * 0.25 >= 0 && camera.top + camera.scale * 0.75 <= 300);
  const near = zoomed(camera, 3, 100, 120);
  const before = (100 - camera.left) / camera.scale;
  assert.ok(Math.abs((100 - near.left) / near.scale - before) < 1e-9);
  assert.equal(zoomed(camera, 1e9, 0, 0).scale, camera.fitted * 400);
});

test("the map cannot be moved out of the window", () => {
  const away = kept(panned(fitted(BOX, 400, 300), 1e6, -1e6), BOX, 400, 300);
  assert.ok(away.left + away.scale * BOX.left <= 300);
  assert.ok(away.top + away.scale * BOX.bottom >= 75);
});

test("the index finds every point of a part of the map, and the nearest one", () => {
  const box = { left: 0.31, top: 0.4, right: 0.52, bottom: 0.47 };
  const found = new Set();
  within(points, box, (row) => found.add(row));
  for (let i = 0; i < N; i++) {
    const inside =
      points.x[i] >= box.left &&
      points.x[i] <= box.right &&
      points.y[i] >= box.top &&
      points.y[i] <= box.bottom;
    if (inside) assert.ok(found.has(i));
  }
  assert.ok(found.size < N / 10);
  const levels = new Uint8Array(N).fill(FULL);
  for (const i of [0, 77, N - 1]) assert.equal(nearest(points, levels, points.x[i], points.y[i], 0.01), i);
  levels[77] = HIDDEN;
  assert.notEqual(nearest(points, levels, points.x[77], points.y[77], 0.01), 77);
  assert.equal(nearest(points, levels, -5, -5, 0.01), -1);
});

test("points are drawn in their colours, and hidden ones are not", () => {
  const [width, height] = [60, 60];
  const pixels = new Uint32Array(width * height);
  const one = indexed(Float32Array.of(0.25, 0.75), Float32Array.of(0.5, 0.5));
  const [white, red] = [0xffffffff, 0xff0000ff];
  const look = {
    codes: Uint8Array.of(0, 0),
    levels: Uint8Array.of(FULL, HIDDEN),
    full: new Uint32Array(256).fill(red),
    faint: new Uint32Array(256).fill(red),
    shapes: new Uint8Array(256),
    ranks: new Uint8Array(256),
    background: white,
  };
  const camera = { scale: 60, left: 0, top: 0, fitted: 60 };
  assert.equal(drawPoints(pixels, width, height, one, look, camera, 3), 1);
  assert.equal(pixels[30 * width + 15], red);
  assert.equal(pixels[30 * width + 45], white);
  assert.equal(drawPoints(pixels, width, height, one, look, { ...camera, left: 4000 }, 3), 0);
});

test("colours are mixed channel by channel", () => {
  assert.equal(mixed(0xff000000, 0xffffffff, 128), 0xff7f7f7f);
  assert.equal(mixed(0xff112233, 0xffffffff, 0), 0xff112233);
  assert.equal(mixed(0xff112233, 0xff445566, 256), 0xff445566);
});

test("an area survives its text", () => {
  const corners = [
    [0, 0],
    [1, 0.5],
    [0.25, 1],
  ];
  const text = formatArea("pca", corners);
  assert.equal(text.length, 4 + 6 * corners.length);
  const read = parseArea(text, "pca");
  corners.flat().forEach((v, i) => {
    assert.ok(Math.abs(read.flat()[i] - v) < 1e-4);
  });
  assert.equal(parseArea(text, "umap"), null);
  assert.equal(parseArea("pca.00", "pca"), null);
  assert.equal(parseArea(null, "pca"), null);
});

test("a drawn path of any length becomes a polygon of few corners near it", () => {
  const circle = Array.from({ length: 2000 }, (_, i) => {
    const angle = (2 * Math.PI * i) / 2000;
    return [0.5 + 0.3 * Math.cos(angle), 0.5 + 0.3 * Math.sin(angle)];
  });
  const few = simplified(circle);
  assert.ok(few.length <= MOST_CORNERS && few.length > 12);
  for (const [x, y] of few) assert.ok(Math.abs(Math.hypot(x - 0.5, y - 0.5) - 0.3) < 1e-9);
  const noise = Array.from({ length: 1500 }, () => [random(), random()]);
  assert.ok(simplified(noise).length <= MOST_CORNERS);
});
