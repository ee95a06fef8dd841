/** The concepts of a class as a chart. */

import { bar, drawing, heading, label } from "../../browser/charts.js";
import { s } from "../../browser/elements.js";
import { signed } from "../../browser/format.js";
import { colour } from "../../browser/theme.js";
import { pathOf, SIDES } from "./dots.js";

/** @typedef {import("../../browser/payloads").InfluenceRow} Row */

const MOST_ROWS = 40;

/**
 * Draw the concepts of a class as a chart.
 * @param {import("../../browser/payloads").Influence} data
 * @param {Row[]} shown The rows in the order shown.
 * @param {import("./dots.js").Dots} dots
 * @param {number} scale The weight at the ends of the bars.
 */
export function drawChart(data, shown, dots, scale) {
  const rows = shown.slice(0, MOST_ROWS);
  const height = 24 * rows.length + 72;
  const title = `Concepts for and against “${data.cls}”${data.part ? `, ${data.part}` : ""}`;
  const svg = drawing(
    760,
    height,
    heading(
      title,
      [
        [10, "concept"],
        [330, "weight", "middle"],
        [503, "value in each image"],
        [750, "gap", "end"],
      ],
      [
        ["agree-pos", "agree"],
        ["missed", "missed"],
        ["extra", "extra"],
      ],
    ),
  );
  for (const [i, row] of rows.entries()) svg.append(...chartRow(row, 64 + 24 * i, dots, scale));
  return svg;
}

/**
 * @param {Row} row
 * @param {number} y
 * @param {import("./dots.js").Dots} dots
 * @param {number} scale
 */
function chartRow(row, y, dots, scale) {
  const width = (130 * Math.abs(row.weight)) / scale;
  const negative = row.weight < 0;
  const axis = { x1: 330, x2: 330, y1: y - 3, y2: y + 21, stroke: colour("edge"), "stroke-width": 0.7 };
  const strip = dots.strips.get(row.name);
  const place = (/** @type {number} */ dx, /** @type {number} */ dy) =>
    /** @type {[number, number]} */ ([500 + 2 * dx, y - 2 + 0.85 * dy]);
  const marks = SIDES.map((side, k) =>
    s("path", {
      d: strip ? pathOf(strip, (i) => dots.sides[i] === k, place) : "",
      fill: "none",
      stroke: colour(k === 0 ? "agree-pos" : side),
      "stroke-width": 2.6,
      "stroke-linecap": "round",
    }),
  );
  return [
    label(10, y + 13, row.name.slice(0, 26)),
    bar(negative ? 330 - width : 330, y + 2, width, negative ? "neg" : "pos"),
    s("line", axis),
    label(negative ? 325 - width : 335 + width, y + 13, signed(row.weight), {
      size: 11,
      anchor: negative ? "end" : "start",
    }),
    ...marks,
    label(750, y + 13, signed(row.gap), { size: 11, anchor: "end" }),
  ];
}
