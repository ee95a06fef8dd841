/** Icons: one path each on a grid of 16 by 16, drawn in the colour of the text. */

import { s } from "./elements.js";

const PATHS = {
  undo: "M6 3 2.5 6.5 6 10M3 6.5h6a4 4 0 0 1 0 8H6",
  redo: "M10 3l3.5 3.5L10 10M13 6.5H7a4 4 0 0 0 0 8h3",
  lock: "M4.5 7.5V5.5a3.5 3.5 0 0 1 7 0v2M3.5 7.5h9v6h-9z",
  minus: "M3 8h10",
  mute: "M2.5 8h11M8 2.5a5.5 5.5 0 1 0 .01 0z",
  close: "M4 4l8 8M12 4l-8 8",
  moon: "M13 9.8A5.6 5.6 0 0 1 6.2 3a5.5 5.5 0 1 0 6.8 6.8z",
  link:
    "M6.6 9.4l2.8-2.8M7 4.6l1.2-1.2a3 3 0 0 1 4.3 4.3L11.3 9" + "M9 11.4l-1.2 1.2a3 3 0 0 1-4.3-4.3L4.7 7",
  export: "M8 2.5v7.5M5 7l3 3 3-3M3 11.5v2h10v-2",
  plus: "M8 3v10M3 8h10",
  guide: "M8 14.2A6.2 6.2 0 1 0 8 1.8a6.2 6.2 0 0 0 0 12.4zM10.6 5.4 9 9l-3.6 1.6L7 7z",
  image: "M2.5 3.5h11v9h-11zM2.5 10.5l3.2-3 2.6 2.4 1.9-1.6 3.3 2.7M10.6 6.1h.01",
  pencil: "M10.8 2.8l2.4 2.4L5.6 12.8l-3 .6.6-3z",
  gear: "M3 4.5h5M11 4.5h2M9.5 3v3M3 11.5h2M8 11.5h5M6.5 10v3",
  keys: "M1.8 4.2h12.4v7.6H1.8zM4.2 6.6h.01M6.7 6.6h.01M9.2 6.6h.01M11.7 6.6h.01M5 9.4h6",
  map:
    "M3.2 4.6h.01M6.1 3.2h.01M5.2 6.8h.01M8.6 9.6h.01M11.8 4.4h.0" +
    "1M10.4 7.2h.01M12.9 11.4h.01M9.9 12.6h.01M4.4 11.6h.01M2.2 1.8v12h12",
  fit: "M2.5 6V2.5H6M10 2.5h3.5V6M13.5 10v3.5H10M6 13.5H2.5V10M6.5 6.5h3v3h-3z",
  enlarge: "M9.5 2.5h4v4M13.5 2.5l-5 5M6.5 13.5h-4v-4M2.5 13.5l5-5",
  grid: "M2.5 2.5h4.6v4.6H2.5zM8.9 2.5h4.6v4.6H8.9zM2.5 8.9h4.6v4.6H2.5zM8.9 8.9h4.6v4.6H8.9z",
  table: "M2.5 2.5h11v11h-11zM2.5 6.2h11M2.5 9.8h11M6.2 2.5v11M9.8 2.5v11",
  compare:
    "M5 3v8.5a1.5 1.5 0 0 0 1.5 1.5H8M11 13V4.5A1.5 1.5 0 0 0 9.5 3H8" +
    "M9.5 11.5 8 13l1.5 1.5M6.5 1.5 8 3 6.5 4.5",
};

/** @typedef {keyof typeof PATHS} IconName */

/**
 * Create an icon.
 * @param {IconName} name
 */
export const icon = (name) =>
  s(
    "svg",
    { viewBox: "0 0 16 16", width: 16, height: 16, class: "icon", "aria-hidden": "true" },
    s("path", { d: PATHS[name] }),
  );
