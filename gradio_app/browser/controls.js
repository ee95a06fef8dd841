/** Controls that several views use. */

import { childrenOf, h } from "./elements.js";
import { rovingFocus } from "./focus.js";
import { icon } from "./icons.js";

/**
 * Create a button. Its label is shown beside the icon unless `iconOnly`.
 * @param {string} label
 * @param {{icon?: import("./icons.js").IconName, iconOnly?: boolean, kind?: string, title?: string,
 *   [attribute: string]: any}} [options] `kind`: CSS classes; the rest become attributes.
 */
export function button(label, { icon: name, iconOnly = false, kind = "", title, ...rest } = {}) {
  const attributes = {
    type: "button",
    class: `button ${kind} ${iconOnly ? "bare" : ""}`.replace(/\s+/g, " ").trim(),
    "aria-label": label,
    title: title || (iconOnly ? label : null),
    ...rest,
  };
  return h("button", attributes, name && icon(name), !iconOnly && h("span", {}, label));
}

/**
 * Create a term of the field with its explanation in a tooltip.
 * @param {string} key A key of `glossary.py`.
 * @param {string} [shown]
 */
export const term = (key, shown) => h("dfn", { "data-term": key, tabindex: "0" }, shown || key);

/**
 * Create a segmented control: a row of choices of which one is selected.
 * @param {readonly (readonly [value: string, shown: string, attributes?: object])[]} options
 * @param {string} value
 * @param {(value: any) => void} onPick
 * @param {string} label
 */
export function segmented(options, value, onPick, label) {
  const node = h("div", { class: "segmented", role: "radiogroup", "aria-label": label });
  const select = (/** @type {string} */ selected) => {
    for (const choice of childrenOf(node)) {
      const isSelected = choice.dataset.value === selected;
      choice.setAttribute("aria-checked", String(isSelected));
      choice.tabIndex = isSelected ? 0 : -1;
    }
  };
  for (const [option, shown, attributes] of options) {
    const onclick = () => {
      select(option);
      onPick(option);
    };
    const props = { type: "button", role: "radio", "data-value": option, onclick, ...attributes };
    node.append(h("button", props, shown));
  }
  rovingFocus(node, "button", "both");
  node.addEventListener("keydown", (event) => {
    if (event.key.startsWith("Arrow") && document.activeElement instanceof HTMLElement)
      document.activeElement.click();
  });
  select(value);
  return node;
}

/**
 * Create a table whose first column holds names and whose other columns hold numbers.
 * @param {string[]} head
 * @param {{cells: (string | number)[], strong?: boolean}[]} rows
 */
export function table(head, rows) {
  const header = head.map((text, i) => h("th", { class: i ? "number" : "", scope: "col" }, text));
  const cell = (/** @type {string | number} */ text, /** @type {number} */ i) =>
    h("td", { class: i ? "number" : "", "data-name": i ? null : "" }, text);
  const body = rows.map((row) => h("tr", { class: row.strong ? "strong" : "" }, row.cells.map(cell)));
  return h(
    "div",
    { class: "table-box", tabindex: "0", role: "group", "aria-label": "Table" },
    h("table", {}, h("thead", {}, h("tr", {}, header)), h("tbody", {}, body)),
  );
}
