/* Building and updating the page. Text only ever enters through text nodes and attributes, never as markup:
   class names, words and file names are data, whatever they contain. */
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const app = (window.inficond = window.inficond || {});

  function fill(node, attributes, children) {
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (name === "style" && typeof value === "object")
        for (const [k, v] of Object.entries(value)) node.style.setProperty(k, v);
      else node.setAttribute(name, value === true ? "" : String(value));
    }
    for (const child of children.flat(Infinity)) {
      if (child === null || child === undefined || child === false) continue;
      node.append(child instanceof Node ? child : document.createTextNode(String(child)));
    }
    return node;
  }

  /** An HTML element: h("button", {class: "x", onclick: f}, "text", child). */
  const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
  /** The same for SVG. */
  const s = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

  /** Set an attribute only when it changes; null or false takes it away. */
  function attr(node, name, value) {
    if (value === null || value === undefined || value === false) {
      if (node.hasAttribute(name)) node.removeAttribute(name);
    } else {
      const text = value === true ? "" : String(value);
      if (node.getAttribute(name) !== text) node.setAttribute(name, text);
    }
  }

  /** Set a node's text only when it changes. */
  function text(node, value) {
    const t = value === null || value === undefined ? "" : String(value);
    if (node.textContent !== t) node.textContent = t;
  }

  /** Make `parent` hold one child per item, reusing those with the same key, so that focus and scroll stay.
      `update(node, item)` fills a node in; `create(item)` makes one. */
  function keyed(parent, items, key, create, update) {
    const old = new Map();
    for (const node of [...parent.children]) {
      if (node.__key !== undefined) old.set(node.__key, node);
      else node.remove();
    }
    let at = parent.firstElementChild;
    for (const item of items) {
      const k = String(key(item));
      let node = old.get(k);
      if (node) old.delete(k);
      else {
        node = create(item);
        node.__key = k;
      }
      node.__item = item;
      update(node, item);
      if (node === at) at = at.nextElementSibling;
      else if (node.contains(document.activeElement)) {
        // moving the focused node would blur it: move its neighbours around it instead
        let walk = at;
        while (walk && walk !== node) {
          const next = walk.nextElementSibling;
          parent.append(walk);
          walk = next;
        }
        at = node.nextElementSibling;
      } else parent.insertBefore(node, at);
    }
    for (const node of old.values()) node.remove();
  }

  /** Arrow keys, Home and End move focus among `selector` inside `root`; one of them is in the tab order. */
  function roving(root, selector, { keys = "vertical" } = {}) {
    const back = keys === "horizontal" ? ["ArrowLeft"] : keys === "both" ? ["ArrowUp", "ArrowLeft"] : ["ArrowUp"];
    const forth = keys === "horizontal" ? ["ArrowRight"] : keys === "both" ? ["ArrowDown", "ArrowRight"] : ["ArrowDown"];
    root.addEventListener("keydown", (event) => {
      if (event.altKey || event.ctrlKey || event.metaKey) return;
      const here = event.target.closest(selector);
      if (!here || event.target !== here) return;
      const all = [...root.querySelectorAll(selector)].filter((n) => n.offsetParent !== null);
      const i = all.indexOf(here);
      let to = -1;
      if (back.includes(event.key)) to = Math.max(0, i - 1);
      else if (forth.includes(event.key)) to = Math.min(all.length - 1, i + 1);
      else if (event.key === "Home") to = 0;
      else if (event.key === "End") to = all.length - 1;
      if (to < 0) return;
      event.preventDefault();
      all[to].focus();
      all[to].scrollIntoView({ block: "nearest" });
    });
  }

  /** Exactly one of the nodes can be reached by Tab: the marked one, or the first. */
  function tabStop(nodes, chosen) {
    const list = [...nodes];
    const one = list.find(chosen) || list.find((n) => n === document.activeElement) || list[0];
    for (const n of list) attr(n, "tabindex", n === one ? "0" : "-1");
  }

  const MINUS = "\u2212";
  const fmt = {
    /** 0.912 -> "0.91"; nothing known -> an en dash. */
    num: (x, digits = 2) =>
      x === null || x === undefined || !Number.isFinite(x) ? "–" : x.toFixed(digits).replace(/^-(?=0\.?0*$)/, "").replace("-", MINUS),
    /** A share without its leading zero, as tables have it: 0.31 -> ".31". */
    share: (x) => fmt.num(x).replace(/^0\./, "."),
    signed: (x, digits = 2) => {
      if (x === null || x === undefined || !Number.isFinite(x)) return "–";
      const t = Math.abs(x).toFixed(digits);
      return (Number(t) === 0 ? "" : x < 0 ? MINUS : "+") + t;
    },
    percent: (x) => (x === null || x === undefined || !Number.isFinite(x) ? "–" : `${Math.round(100 * x)} %`),
    count: (n) => (n === null || n === undefined ? "–" : n.toLocaleString("en-US").replace(/,/g, "\u202f")),
    time: (seconds) => {
      if (seconds === null || seconds === undefined) return "";
      const t = Math.max(0, Math.round(seconds));
      if (t < 60) return `${t} s`;
      if (t < 3600) return `${Math.floor(t / 60)} min ${String(t % 60).padStart(2, "0")} s`;
      return `${Math.floor(t / 3600)} h ${String(Math.floor((t % 3600) / 60)).padStart(2, "0")} min`;
    },
  };

  /** Base64 -> typed array, as the server packs columns of numbers. */
  function unpack(packed, Type = Float32Array) {
    const binary = atob(packed);
    const bytes = new Uint8Array(binary.length);
    for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
    return new Type(bytes.buffer);
  }

  /** Call `fn` at most once per frame, with the latest arguments. */
  function perFrame(fn) {
    let waiting = null;
    return (...args) => {
      if (waiting === null) requestAnimationFrame(() => { const a = waiting; waiting = null; fn(...a); });
      waiting = args;
    };
  }

  app.dom = { h, s, attr, text, keyed, roving, tabStop, fmt, unpack, perFrame };
})();
