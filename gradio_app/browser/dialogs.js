/** Modal dialogs. */

import { button } from "./controls.js";
import { h } from "./elements.js";
import { keepMessages } from "./messages.js";

let opened = 0;

/**
 * Open a modal dialog. The browser keeps the focus inside and returns it when the dialog closes.
 * @param {string} title
 * @param {import("./elements.js").Child} body
 * @param {{wide?: boolean, onclose?: () => void, buttons?: HTMLElement[]}} [options]
 */
export function openDialog(title, body, { wide = false, onclose, buttons = [] } = {}) {
  const id = `dialog-title-${++opened}`;
  const close = button("Close", { icon: "close", iconOnly: true, onclick: () => node.close() });
  const node = h(
    "dialog",
    { class: `inf-dialog ${wide ? "wide" : ""}`.trim(), "aria-labelledby": id },
    h("header", {}, h("h2", { id }, title), close),
    h("div", { class: "dialog-body" }, body),
    buttons.length > 0 && h("footer", {}, buttons),
  );
  node.addEventListener("close", () => {
    keepMessages(node);
    node.remove();
    onclose?.();
  });
  node.addEventListener("mousedown", (event) => event.target === node && node.close());
  document.body.append(node);
  node.showModal();
  return node;
}
