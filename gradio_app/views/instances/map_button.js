/** The button of the map, and the place of its panel. The map itself is loaded at first use. */

import { button } from "../../browser/controls.js";
import { h } from "../../browser/elements.js";
import { on } from "../../browser/events.js";
import { late } from "../../browser/late.js";
import { state } from "../../browser/state.js";
import { settings } from "../../browser/storage.js";

export const mapHost = h("div", { class: "map-host" });
export const mapButton = button("Map of the images", {
  icon: "map",
  iconOnly: true,
  title: "Map: similar images lie close together",
  "aria-pressed": "false",
  onclick: load,
});

/** Load the map, which then takes over the button. */
function load() {
  mapButton.removeEventListener("click", load);
  late().then(
    ({ map }) => map.startMap(mapHost, mapButton),
    () => mapButton.addEventListener("click", load),
  );
}

/** Show the map with the page if it was shown before, or if a link names an area of it. */
export function offerMap() {
  if (settings.get("map") === "shown") load();
  else on("start", () => state.selection.area && !mapHost.childElementCount && load());
}
