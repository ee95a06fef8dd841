/** The dialog "All classes": the class × concept matrix, and the classes confused for want of a concept. */

import { button } from "./controls.js";
import { openDialog } from "./dialogs.js";
import { h, setText } from "./elements.js";
import { on } from "./events.js";
import { percent, plural, signed } from "./format.js";
import { createMatrix } from "./matrix_canvas.js";
import { CLASS_ORDERS, CONCEPT_ORDERS, orderedClasses, orderedConcepts, unpacked } from "./matrix_order.js";
import { pickConcept, select } from "./selection.js";
import { call } from "./server.js";
import { state } from "./state.js";
import { choice, settings } from "./storage.js";

/** @typedef {import("./payloads").ConfusedPair} Pair */
/** @typedef {import("./matrix_order.js").Matrix} Matrix */

const CLASS_KEYS = /** @type {(keyof typeof CLASS_ORDERS)[]} */ (Object.keys(CLASS_ORDERS));
const CONCEPT_KEYS = /** @type {(keyof typeof CONCEPT_ORDERS)[]} */ (Object.keys(CONCEPT_ORDERS));

/** Show the weights of all classes. */
export async function openMatrix() {
  const body = h("div", { class: "matrix" }, h("p", { class: "muted" }, "Reading the weights…"));
  /** @type {(() => void)[]} */
  const ended = [];
  const dialog = openDialog("All classes and their concepts", body, {
    wide: true,
    onclose: () => {
      for (const end of ended) end();
    },
  });
  dialog.classList.add("matrix-dialog");
  let reading = 0;
  const read = async () => {
    const mine = ++reading;
    const response = await call("matrix", { selection: state.selection }, { quiet: true }).catch(() => null);
    if (mine !== reading || !dialog.isConnected) return;
    if (!response?.matrix) {
      const reason = response?.error ?? "The connection was lost: close the dialog and open it again.";
      body.replaceChildren(h("p", { class: "bad" }, reason));
      return;
    }
    ended.splice(0).forEach((end) => {
      end();
    });
    draw(body, response.matrix, ended);
    ended.push(on("node", read));
  };
  await read();
}

/**
 * @param {HTMLElement} body
 * @param {import("./payloads").ClassMatrix} payload
 * @param {(() => void)[]} ended
 */
function draw(body, payload, ended) {
  const matrix = unpacked(payload);
  if (!matrix.concepts.length) {
    const line =
      "No student uses a concept: every weight is 0. Choose a smaller λ in Settings, or undo the step.";
    body.replaceChildren(h("div", { class: "view-empty" }, h("p", {}, line)));
    return;
  }
  const line = h("p", { class: "matrix-line", "aria-live": "polite" });
  const name = (/** @type {number} */ row, /** @type {number} */ column) => describe(matrix, row, column);
  const view = createMatrix({
    onCursor: (row, column) => setText(line, row < 0 || column < 0 ? hint(payload) : name(row, column)),
    onPick: (row, column) => {
      setText(line, `${name(row, column)} Selected in all views.`);
      select({ cls: matrix.classes[row], concepts: withConcept(matrix.concepts[column]) });
    },
  });
  const orders = [
    orderSelect("Order of the rows", "classes", CLASS_ORDERS, CLASS_KEYS, "similar"),
    orderSelect("Order of the columns", "concepts", CONCEPT_ORDERS, CONCEPT_KEYS, "shared"),
  ];
  const arrange = () => {
    const [classes, concepts] = orders.map((one) => one.value);
    view.show(
      matrix,
      orderedClasses(matrix, /** @type {any} */ (classes)),
      orderedConcepts(matrix, /** @type {any} */ (concepts)),
    );
    setText(line, hint(payload));
  };
  for (const one of orders) one.addEventListener("change", arrange);
  const mark = () => view.mark(state.selection.cls ? [state.selection.cls] : [], state.selection.concepts);
  ended.push(on("select", mark), on("theme", arrange));
  const labels = orders.map((one, i) =>
    h("label", { class: "muted" }, i ? "concepts by " : "classes by ", one),
  );
  body.replaceChildren(
    h("div", { class: "matrix-tools" }, labels, legend()),
    h("div", { class: "matrix-main" }, view.element, pairsOf(payload, matrix, view)),
    line,
  );
  arrange();
  mark();
}

/** @param {string} concept */
const withConcept = (concept) => [...state.selection.concepts.filter((one) => one !== concept), concept];

/**
 * @template {string} K
 * @param {string} label
 * @param {string} key
 * @param {Record<K, string>} names
 * @param {K[]} keys
 * @param {K} otherwise
 */
function orderSelect(label, key, names, keys, otherwise) {
  const options = keys.map((id) => h("option", { value: id }, names[id]));
  const node = h("select", { "aria-label": label }, options);
  node.value = choice(`matrix-${key}`, keys, otherwise);
  node.addEventListener("change", () => settings.set(`matrix-${key}`, node.value));
  return node;
}

const legend = () =>
  h(
    "span",
    { class: "matrix-legend muted" },
    h("i", { class: "matrix-mark positive" }),
    "for the class ",
    h("i", { class: "matrix-mark negative" }),
    "against it; the size is the weight",
  );

/** @param {import("./payloads").ClassMatrix} payload */
const hint = ({ classes, concepts, n_concepts }) =>
  `${classes.length} class${classes.length === 1 ? "" : "es"}; ` +
  `${concepts.length} of ${n_concepts} concepts have a weight. ` +
  "Click a cell to select class and concept in all views.";

/**
 * @param {Matrix} matrix
 * @param {number} row
 * @param {number} column
 */
function describe(matrix, row, column) {
  const weight = matrix.weights[row * matrix.concepts.length + column];
  const n = matrix.sharing[column];
  const others = `${n} class${n === 1 ? " uses" : "es use"} this concept`;
  const value = weight ? signed(weight, 3) : "no weight";
  return `${matrix.classes[row]} × ${matrix.concepts[column]}: ${value}; ${others}.`;
}

/**
 * @param {import("./payloads").ClassMatrix} payload
 * @param {Matrix} matrix
 * @param {import("./matrix_canvas.js").MatrixView} view
 */
function pairsOf(payload, matrix, view) {
  const list = payload.pairs.map((pair) => pairItem(pair, matrix, view, payload.exclusive));
  const about = payload.exclusive
    ? "Held-out images of one class that the students call another."
    : "Held-out images in which the students miss one class and add another.";
  return h(
    "section",
    { class: "matrix-pairs", "aria-label": "Confused classes" },
    h("h3", {}, "Confused classes"),
    h("p", { class: "muted" }, list.length ? about : "No held-out image is confused."),
    h("ul", {}, list),
  );
}

/**
 * @param {Pair} pair
 * @param {Matrix} matrix
 * @param {import("./matrix_canvas.js").MatrixView} view
 * @param {boolean} exclusive
 */
function pairItem(pair, matrix, view, exclusive) {
  const { actual, predicted, images, share, concept } = pair;
  const filters = exclusive ? { actual, predicted } : {};
  const showPair = () => {
    select({ cls: actual, subset: null, slice: null, ...filters });
    const column = matrix.concepts.indexOf(pair.shared[0] ?? "");
    view.go(matrix.classes.indexOf(actual), Math.max(0, column));
  };
  const names = h("b", { "data-name": "" }, `${actual} → ${predicted}`);
  const size = h("span", { class: "muted" }, `${images} image${plural(images)}, ${percent(share)}`);
  const useConcept = async () => {
    await select({ cls: actual });
    if (concept) pickConcept(concept);
  };
  return h(
    "li",
    { class: `pair-${pair.kind}` },
    h("button", { type: "button", class: "pair-name", onclick: showPair }, names, size),
    h("p", { class: "muted" }, pair.line),
    h("p", { class: "pair-advice" }, pair.advice),
    concept && button(`Select “${concept}”`, { kind: "quiet", onclick: useConcept }),
  );
}
