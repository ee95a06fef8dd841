/** Colours of the map and its legend. */

import { h } from "../../browser/elements.js";
import { number } from "../../browser/format.js";
import { colour, isDark } from "../../browser/theme.js";
import { mixed } from "./map_points.js";

/** @typedef {import("../../browser/payloads").MapColours} Colours */

/** Code of an image without a category. */
export const NONE = 255;
const SUBSETS = /** @type {const} */ (["agree-pos", "agree-neg", "missed", "extra"]);
const SUBSET_NAMES = ["both yes", "both no", "missed", "extra"];
/** Colours of categories that colour-blind eyes tell apart (after Paul Tol), for each theme. */
const CATEGORIES = {
  light: [
    "#2a6fc9",
    "#bd5a12",
    "#0b7f5a",
    "#b3256e",
    "#b08a00",
    "#4aa3c7",
    "#6b4fb8",
    "#8c9a1f",
    "#7a4a2b",
    "#d3708f",
    "#2f4858",
    "#9aa6b2",
  ],
  dark: [
    "#6aa8f5",
    "#f2995c",
    "#4fd0a0",
    "#ef7fb5",
    "#f0c84f",
    "#8fd6ef",
    "#b39af0",
    "#cbd75f",
    "#c99b78",
    "#ffb3c8",
    "#c3d3df",
    "#75818d",
  ],
}; // prettier-ignore
/** Lowest, middle and highest value. */
const SCALES = { light: ["#cfd8e2", "#3d7fd0", "#10285e"], dark: ["#33414f", "#5b9df2", "#eaf4ff"] };
const FAINT_SHARE = 60;

/**
 * Colours of all codes.
 * @typedef {object} Palette
 * @property {Uint32Array} full
 * @property {Uint32Array} faint
 * @property {Uint8Array} shapes
 * @property {Uint8Array} ranks
 * @property {number} background
 * @property {string[]} css By code.
 */

/** @param {string} hex */
function packed(hex) {
  const v = Number.parseInt(hex.slice(1), 16);
  return (0xff000000 | ((v & 0xff) << 16) | (v & 0xff00) | (v >> 16)) >>> 0;
}

/** @param {number} value */
const unpacked = (value) =>
  `#${[0, 8, 16].map((shift) => ((value >> shift) & 0xff).toString(16).padStart(2, "0")).join("")}`;

/**
 * Return the colours of the theme in use.
 * @param {Colours} colours
 * @returns {Palette}
 */
export function paletteOf(colours) {
  const theme = isDark() ? "dark" : "light";
  const background = packed(colour("panel"));
  const missing = packed(colour("agree-neg"));
  const full = new Uint32Array(256).fill(missing);
  const shapes = new Uint8Array(256);
  const ranks = new Uint8Array(256);
  if (colours.kind === "subsets") {
    SUBSETS.forEach((name, code) => {
      full[code] = packed(colour(name));
      ranks[code] = Number(code >= 2);
    });
    shapes[2] = 2;
    shapes[3] = 1;
  } else if (colours.kind === "categories") {
    const chosen = CATEGORIES[theme];
    colours.names.forEach((_, code) => {
      full[code] = packed(chosen[code % chosen.length]);
      shapes[code] = code % 3;
      ranks[code] = 1;
    });
  } else {
    const [low, middle, high] = SCALES[theme].map(packed);
    for (let v = 0; v < 256; v++)
      full[v] = v < 128 ? mixed(low, middle, 2 * v) : mixed(middle, high, 2 * (v - 128));
  }
  const faint = full.map((value) => mixed(background, value, FAINT_SHARE));
  return { full, faint, shapes, ranks, background, css: Array.from(full, unpacked) };
}

/**
 * Return what the colour of an image says.
 * @param {Colours} colours
 * @param {number} code
 */
export function meaning(colours, code) {
  if (colours.kind === "subsets") return SUBSET_NAMES[code];
  if (colours.kind === "categories") return colours.names[code] ?? "none of these";
  return `${colours.title}: ${number(colours.low + ((colours.high - colours.low) * code) / 255)}`;
}

/**
 * Create the legend. A category is a button that shows only its images in full colour.
 * @param {Colours} colours
 * @param {Palette} palette
 * @param {ArrayLike<number>} counts Images by code.
 * @param {number | null} only The category that is shown alone.
 * @param {(code: number | null) => void} onOnly
 */
export function legendOf(colours, palette, counts, only, onOnly) {
  if (colours.kind === "values") {
    const stops = [0, 64, 128, 192, 255].map((v) => palette.css[v]).join(", ");
    return [
      h("span", { class: "map-title cut", "data-name": "" }, colours.title),
      h("span", {}, number(colours.low)),
      h("i", { class: "map-scale", style: `background: linear-gradient(90deg, ${stops})` }),
      h("span", {}, number(colours.high)),
    ];
  }
  const names = colours.kind === "subsets" ? SUBSET_NAMES : colours.names;
  const entries = names.map((name, code) =>
    h(
      "button",
      {
        type: "button",
        "aria-pressed": String(code === only),
        "data-code": code,
        "aria-label": `${name}: ${counts[code] ?? 0} images`,
        onclick: () => onOnly(code === only ? null : code),
      },
      h("i", { class: `map-mark shape-${palette.shapes[code]}`, style: `background: ${palette.css[code]}` }),
      h("span", { class: "cut", "data-name": "" }, name),
      h("b", {}, counts[code] ?? 0),
    ),
  );
  const title = h("span", { class: "map-title cut", "data-name": "" }, colours.title);
  if (!names.length) return [title, h("span", { class: "muted" }, "no significant slice of this class")];
  return [title, ...entries];
}
