import assert from "node:assert/strict";
import { test } from "node:test";
import * as format from "../../gradio_app/browser/format.js";

test("number uses a real minus sign and a dash for a missing value", () => {
  assert.equal(format.number(0.123), "0.12");
  assert.equal(format.number(-1.5, 1), "\u22121.5");
  for (const missing of [null, undefined, Number.NaN, Number.POSITIVE_INFINITY])
    assert.equal(format.number(missing), "–");
});

test("number drops the sign of a value that rounds to zero", () => {
  assert.equal(format.number(-0.001), "0.00");
  assert.equal(format.number(-0.4, 0), "0");
});

test("signed adds the sign unless the value rounds to zero", () => {
  assert.equal(format.signed(0.345), "+0.34");
  assert.equal(format.signed(-0.345), "\u22120.34");
  assert.equal(format.signed(0.001), "0.00");
  assert.equal(format.signed(null), "–");
});

test("compact omits the leading zero only", () => {
  assert.equal(format.compact(0.31), ".31");
  assert.equal(format.compact(1), "1.00");
});

test("withoutLeadingZeros keeps other digits", () => {
  assert.equal(format.withoutLeadingZeros("+0.34 [\u22120.10, +10.50]"), "+.34 [\u2212.10, +10.50]");
});

test("count separates thousands by narrow spaces", () => {
  assert.equal(format.count(1234567), "1\u202f234\u202f567");
  assert.equal(format.count(undefined), "–");
});

test("duration uses at most two units", () => {
  assert.equal(format.duration(59.4), "59 s");
  assert.equal(format.duration(61), "1 min 01 s");
  assert.equal(format.duration(3720), "1 h 02 min");
  assert.equal(format.duration(-3), "0 s");
  assert.equal(format.duration(null), "");
});

test("axisLimit returns a round number at or above its argument", () => {
  for (const x of [1e-4, 0.0213, 0.42, 0.999, 1, 1.49, 2.6, 7.6, 99])
    assert.ok(format.axisLimit(x) >= x * 0.9999 && format.axisLimit(x) <= x * 2.01, `${x}`);
  assert.equal(format.axisLimit(0.42), 0.5);
  assert.equal(format.axisLimit(0), 1);
});
