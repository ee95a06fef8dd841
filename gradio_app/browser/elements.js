/**
 * Creation and update of elements. Text enters only through text nodes and attributes, never as markup:
 * names of classes, concepts and files are untrusted.
 */

const SVG = "http://www.w3.org/2000/svg";

/** @typedef {Node | string | number | null | undefined | false} Leaf */
/** @typedef {Leaf | Leaf[] | Leaf[][]} Child */
/** @typedef {Record<string, any>} Attributes */

/**
 * @template {Element} T
 * @param {T} node
 * @param {Attributes} attributes
 * @param {Child[]} children
 * @returns {T}
 */
function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else setAttribute(node, name, value);
  }
  for (const child of /** @type {Leaf[]} */ (children.flat(2))) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : String(child));
  }
  return node;
}

/**
 * Create an HTML element: `h("button", {class: "x", onclick: f}, "text", child)`.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Attributes} [attributes]
 * @param {...Child} children
 */
export const h = (tag, attributes = {}, ...children) =>
  fill(document.createElement(tag), attributes, children);

/**
 * Create an SVG element.
 * @template {keyof SVGElementTagNameMap} K
 * @param {K} tag
 * @param {Attributes} [attributes]
 * @param {...Child} children
 */
export const s = (tag, attributes = {}, ...children) =>
  fill(document.createElementNS(SVG, tag), attributes, children);

/**
 * Set an attribute if it differs; null, undefined and false remove it.
 * @param {Element} node
 * @param {string} name
 * @param {any} value
 */
export function setAttribute(node, name, value) {
  if (value === null || value === undefined || value === false) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
    return;
  }
  const text = value === true ? "" : String(value);
  if (node.getAttribute(name) !== text) node.setAttribute(name, text);
}

/**
 * Set the text of a node if it differs.
 * @param {Node} node
 * @param {any} value
 */
export function setText(node, value) {
  const text = value === null || value === undefined ? "" : String(value);
  if (node.textContent !== text) node.textContent = text;
}

/**
 * Return the child elements of a node.
 * @param {Element} node
 */
export const childrenOf = (node) => /** @type {HTMLElement[]} */ ([...node.children]);

/**
 * Return the descendants that match a selector.
 * @param {Element} root
 * @param {string} selector
 */
export const queryAll = (root, selector) =>
  /** @type {HTMLElement[]} */ ([...root.querySelectorAll(selector)]);

/**
 * Return the ancestor of an event's target that matches a selector, the target included.
 * @param {Event} event
 * @param {string} selector
 */
export const closest = (event, selector) =>
  event.target instanceof Element ? /** @type {HTMLElement | null} */ (event.target.closest(selector)) : null;

/** @type {WeakMap<Element, {key: string, item: any}>} */
const bound = new WeakMap();

/**
 * Return the item that `reconcile` drew last in a node.
 * @param {Element} node
 */
export const itemOf = (node) => bound.get(node)?.item;

/**
 * Return the key of a node's item.
 * @param {Element} node
 */
export const keyOf = (node) => bound.get(node)?.key;

/**
 * Make `parent` hold one child per item, in order. Nodes are reused by key, so focus and scroll position
 * stay.
 * @template T
 * @template {Element} N
 * @param {Element} parent
 * @param {T[]} items
 * @param {(item: T) => string | number} key
 * @param {(item: T) => N} create
 * @param {(node: N, item: T) => void} update
 */
export function reconcile(parent, items, key, create, update) {
  const old = new Map();
  for (const node of [...parent.children]) {
    const name = keyOf(node);
    if (name === undefined) node.remove();
    else old.set(name, node);
  }
  let next = parent.firstElementChild;
  for (const item of items) {
    const name = String(key(item));
    const node = old.get(name) ?? create(item);
    old.delete(name);
    bound.set(node, { key: name, item });
    update(node, item);
    if (next && node === next) next = next.nextElementSibling;
    else if (node.contains(document.activeElement)) {
      // Moving the focused node would take its focus away, so its neighbours are moved instead.
      for (let walk = next; walk && walk !== node; ) {
        const following = walk.nextElementSibling;
        parent.append(walk);
        walk = following;
      }
      next = node.nextElementSibling;
    } else parent.insertBefore(node, next);
  }
  for (const node of old.values()) node.remove();
}

/**
 * Return a function that calls `fn` at most once per frame, with the latest arguments.
 * @template {any[]} A
 * @param {(...args: A) => void} fn
 */
export function oncePerFrame(fn) {
  /** @type {A | null} */
  let waiting = null;
  return (/** @type {A} */ ...args) => {
    if (waiting === null)
      requestAnimationFrame(() => {
        const latest = /** @type {A} */ (waiting);
        waiting = null;
        fn(...latest);
      });
    waiting = args;
  };
}

/**
 * Return a promise that resolves after a delay.
 * @param {number} milliseconds
 */
export const delay = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/**
 * Return a promise that resolves when the browser has drawn and is idle, or after a delay at most.
 * @param {number} milliseconds
 */
export const idle = (milliseconds) =>
  "requestIdleCallback" in window
    ? new Promise((resolve) => requestIdleCallback(resolve, { timeout: milliseconds }))
    : delay(milliseconds);
