/** The lines of the tree of steps: one drawing per row. */

import { s } from "../../browser/elements.js";

/** @typedef {import("../../browser/payloads").StepNode} StepNode */
/** @typedef {import("../../browser/payloads").Edge} Edge */

export const LANE = 14;
/** Height of a row with one line of text. */
export const HEIGHT = 30;
/** More than the height of any row: its drawing is clipped to it. */
export const TALL = 400;
const LEFT = 9;
const MIDDLE = HEIGHT / 2;

/**
 * Return the x coordinate of a lane.
 * @param {number} lane
 */
export const laneX = (lane) => lane * LANE + LEFT;

/**
 * Return the width of the drawing.
 * @param {number} lanes
 */
export const graphWidth = (lanes) => lanes * LANE + 6;

/**
 * Return the path of a line within one row. "through" passes by, "up" leaves the dot upwards, "down" leaves
 * it downwards, and "join" leads from a branch above to the dot of its parent. The dot has the same distance
 * from the top in every row.
 * @param {Edge} edge
 * @param {number} [height] Of the row.
 */
export function edgePath([from, to, kind], height = HEIGHT) {
  const x = laneX(from);
  const end = laneX(to);
  if (kind === "through") return `M${x} 0V${height}`;
  if (kind === "up") return `M${x} 0V${MIDDLE}`;
  if (kind === "down") return `M${x} ${MIDDLE}V${height}`;
  return `M${x} 0C${x} ${MIDDLE},${end} ${MIDDLE - 8},${end} ${MIDDLE}`;
}

/**
 * Return the lines of a row. Those that lead to the current step lie over the others.
 * @param {StepNode} node
 * @param {(current: boolean) => object} style
 * @param {number} [height] Of the row.
 */
export const edges = (node, style, height = HEIGHT) =>
  [...node.edges]
    .sort((a, b) => Number(a[3]) - Number(b[3]))
    .map((edge) => s("path", { d: edgePath(edge, height), ...style(edge[3]) }));

/**
 * Return the dot of a step.
 * @param {StepNode} node
 * @param {object} style
 */
export const dot = (node, style) => s("circle", { cx: laneX(node.lane), cy: MIDDLE, ...style });
