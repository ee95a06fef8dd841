/** Charts as files: every view offers a drawing of what it shows. */

import { downloadBlob } from "./downloads.js";
import { h, s } from "./elements.js";
import { colour } from "./theme.js";

/** Width of an average letter in the labels, in pixels. */
const LETTER = 6.4;

/** Properties that are written into an exported drawing, which has no style sheet. */
const STYLED = [
  "fill",
  "stroke",
  "stroke-width",
  "stroke-linecap",
  "opacity",
  "font-size",
  "font-weight",
  "font-family",
  "text-anchor",
  "dominant-baseline",
  "stroke-dasharray",
  "fill-opacity",
];

/** @type {Map<string, () => SVGSVGElement>} */
const charts = new Map();

/**
 * Offer a chart for export.
 * @param {string} name
 * @param {() => SVGSVGElement} draw
 */
export const offerChart = (name, draw) => charts.set(name, draw);

/** Return the names of the charts. */
export const chartNames = () => [...charts.keys()];

/**
 * Create the drawing of a chart.
 * @param {number} width
 * @param {number} height
 * @param {...Element} content
 */
export const drawing = (width, height, ...content) =>
  s("svg", { viewBox: `0 0 ${width} ${height}`, width, height }, ...content);

/**
 * Create a label.
 * @param {number} x
 * @param {number} y
 * @param {string} text
 * @param {{size?: number, anchor?: "start" | "middle" | "end", bold?: boolean, faint?: boolean}} [style]
 */
export const label = (x, y, text, { size = 12, anchor = "start", bold = false, faint = false } = {}) =>
  s(
    "text",
    {
      x,
      y,
      "font-size": size,
      "text-anchor": anchor === "start" ? null : anchor,
      "font-weight": bold ? 600 : null,
      "fill-opacity": faint ? 0.75 : null,
    },
    text,
  );

/**
 * Create a bar.
 * @param {number} x
 * @param {number} y
 * @param {number} width
 * @param {string} fill A colour of the theme.
 * @param {number} [height]
 */
export const bar = (x, y, width, fill, height = 14) =>
  s("rect", { x, y, width: Math.max(0, width), height, fill: colour(fill) });

/**
 * Create the title of a chart.
 * @param {string} text
 */
export const title = (text) => label(10, 20, text, { size: 13, bold: true });

/**
 * Create the heading of a chart: title, legend and column titles.
 * @param {string} text
 * @param {[x: number, text: string, anchor?: "start" | "middle" | "end"][]} columns
 * @param {[colour: string, text: string][]} legend
 */
export function heading(text, columns, legend) {
  let x = 10;
  const entries = legend.map(([fill, name]) => {
    const at = x;
    x += 26 + LETTER * name.length;
    return [
      s("rect", { x: at, y: 31, width: 9, height: 9, rx: 2, fill: colour(fill) }),
      label(at + 13, 39.5, name, { size: 11 }),
    ];
  });
  const titles = columns.map(([at, name, anchor]) => label(at, 58, name, { size: 11, anchor, faint: true }));
  return s("g", {}, title(text), entries, titles);
}

/**
 * Save a chart.
 * @param {string} name
 * @param {"svg" | "png"} format
 */
export async function saveChart(name, format) {
  const svg = charts.get(name)?.();
  if (!svg) return;
  const stage = h("div", { class: "offstage inf" }, svg);
  document.body.append(stage);
  try {
    const file = standalone(svg, `inficond ${name}`);
    downloadBlob(`inficond ${name}.${format}`, format === "svg" ? svgBlob(file.text) : await pngBlob(file));
  } finally {
    stage.remove();
  }
}

/** @param {string} text */
const svgBlob = (text) => new Blob([text], { type: "image/svg+xml" });

/**
 * Write a drawing as a file of its own, with every colour and font in it.
 * @param {SVGSVGElement} svg
 * @param {string} name
 */
function standalone(svg, name) {
  const copy = /** @type {SVGSVGElement} */ (svg.cloneNode(true));
  const copies = [copy, ...copy.querySelectorAll("*")];
  [svg, ...svg.querySelectorAll("*")].forEach((node, i) => {
    const style = getComputedStyle(node);
    for (const property of STYLED) {
      const value = style.getPropertyValue(property);
      if (value) copies[i].setAttribute(property, value);
    }
    copies[i].removeAttribute("class");
  });
  const { width, height } = svg.viewBox.baseVal;
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copy.prepend(s("title", {}, name), bar(0, 0, width, "panel", height));
  return { text: new XMLSerializer().serializeToString(copy), width, height };
}

/**
 * Rasterize a drawing at twice its size.
 * @param {{text: string, width: number, height: number}} file
 * @returns {Promise<Blob>}
 */
async function pngBlob({ text, width, height }) {
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
  await image.decode();
  const canvas = h("canvas", { width: width * 2, height: height * 2 });
  canvas.getContext("2d")?.drawImage(image, 0, 0, width * 2, height * 2);
  return new Promise((resolve, reject) => {
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("the chart has no size"))), "image/png");
  });
}
