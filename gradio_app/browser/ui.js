/* What every view uses of the page's frame: lines said to the person, dialogs, explanations of words, downloads,
   light and dark. */
(() => {
  const app = window.inficond;
  const { h, s, text } = app.dom;
  const keep = {
    get: (key) => { try { return localStorage.getItem(`inficond.${key}`); } catch { return null; } },
    set: (key, value) => { try { localStorage.setItem(`inficond.${key}`, value); } catch { /* private mode */ } },
  };

  // ---------------------------------------------------------------- icons: one path each, 16 x 16, drawn in the text's colour
  const PATHS = {
    undo: "M6 3 2.5 6.5 6 10M3 6.5h6a4 4 0 0 1 0 8H6",
    redo: "M10 3l3.5 3.5L10 10M13 6.5H7a4 4 0 0 0 0 8h3",
    lock: "M4.5 7.5V5.5a3.5 3.5 0 0 1 7 0v2M3.5 7.5h9v6h-9z",
    minus: "M3 8h10",
    mute: "M2.5 8h11M8 2.5a5.5 5.5 0 1 0 .01 0z",
    close: "M4 4l8 8M12 4l-8 8",
    up: "M4 9.5 8 5.5l4 4",
    down: "M4 6.5l4 4 4-4",
    sun: "M8 5a3 3 0 1 0 .01 0zM8 1.2v1.3M8 13.5v1.3M1.2 8h1.3M13.5 8h1.3M3.2 3.2l.9.9M11.9 11.9l.9.9M12.8 3.2l-.9.9M4.1 11.9l-.9.9",
    moon: "M13 9.8A5.6 5.6 0 0 1 6.2 3a5.5 5.5 0 1 0 6.8 6.8z",
    link: "M6.6 9.4l2.8-2.8M7 4.6l1.2-1.2a3 3 0 0 1 4.3 4.3L11.3 9M9 11.4l-1.2 1.2a3 3 0 0 1-4.3-4.3L4.7 7",
    export: "M8 2.5v7.5M5 7l3 3 3-3M3 11.5v2h10v-2",
    plus: "M8 3v10M3 8h10",
    guide: "M8 14.2A6.2 6.2 0 1 0 8 1.8a6.2 6.2 0 0 0 0 12.4zM10.6 5.4 9 9l-3.6 1.6L7 7z",
    image: "M2.5 3.5h11v9h-11zM2.5 10.5l3.2-3 2.6 2.4 1.9-1.6 3.3 2.7M10.6 6.1h.01",
    pencil: "M10.8 2.8l2.4 2.4L5.6 12.8l-3 .6.6-3z",
    free: "M4.5 7.5V5.5a3.5 3.5 0 0 1 6.8-1.2M3.5 7.5h9v6h-9z",
    gear: "M3 4.5h5M11 4.5h2M9.5 3v3M3 11.5h2M8 11.5h5M6.5 10v3",
    keys: "M1.8 4.2h12.4v7.6H1.8zM4.2 6.6h.01M6.7 6.6h.01M9.2 6.6h.01M11.7 6.6h.01M5 9.4h6",
    grid: "M2.5 2.5h4.6v4.6H2.5zM8.9 2.5h4.6v4.6H8.9zM2.5 8.9h4.6v4.6H2.5zM8.9 8.9h4.6v4.6H8.9z",
    compare: "M5 3v8.5a1.5 1.5 0 0 0 1.5 1.5H8M11 13V4.5A1.5 1.5 0 0 0 9.5 3H8M9.5 11.5 8 13l1.5 1.5M6.5 1.5 8 3 6.5 4.5",
    check: "M3 8.5l3.2 3.2L13 4.8",
  };
  const icon = (name) =>
    s("svg", { viewBox: "0 0 16 16", width: 16, height: 16, class: "icon", "aria-hidden": "true" }, s("path", { d: PATHS[name] }));

  /** A button with an icon; `label` is its name, shown beside the icon when `wide`. */
  function button(label, { icon: name, wide = true, kind = "", title, ...rest } = {}) {
    return h("button", { type: "button", class: `button ${kind} ${wide ? "" : "bare"}`.trim(), "aria-label": label, title: title || (wide ? null : label), ...rest },
      name ? icon(name) : null, wide ? h("span", {}, label) : null);
  }

  // ---------------------------------------------------------------- lines said to the person
  let shelf;
  /** Say one line over the page, above an open dialog too; bad news stays longer. `action` is [label, fn]; a line
      takes the place of an earlier one of the same `slot`. */
  function say(line, kind = "", action = null, slot = line) {
    if (!shelf) shelf = h("div", { class: "inf-says", role: "status", "aria-live": "polite" });
    const top = [...document.querySelectorAll("dialog[open]")].pop() || document.body;
    if (shelf.parentNode !== top) top.append(shelf);
    for (const old of [...shelf.children]) if (old.dataset.slot === slot) old.remove();
    while (shelf.children.length > 2) shelf.firstElementChild.remove();
    const close = () => note.remove();
    const note = h("div", { class: `says ${kind}`, "data-slot": slot }, h("span", {}, line),
      action ? h("button", { type: "button", class: "button", onclick: () => { close(); action[1](); } }, action[0]) : null,
      h("button", { type: "button", class: "button bare", "aria-label": "Dismiss", onclick: close }, icon("close")));
    shelf.append(note);
    setTimeout(close, kind === "bad" ? 12000 : 6000);
  }

  // ---------------------------------------------------------------- dialogs
  /** Open a modal dialog; focus is kept inside by the browser and given back when it closes. */
  function dialog(title, body, { wide = false, onclose, buttons = [] } = {}) {
    const id = `dialog-${Math.random().toString(36).slice(2, 8)}`;
    const node = h("dialog", { class: `inf-dialog ${wide ? "wide" : ""}`, "aria-labelledby": id },
      h("header", {}, h("h2", { id }, title), button("Close", { icon: "close", wide: false, onclick: () => node.close() })),
      h("div", { class: "dialog-body" }, body),
      buttons.length ? h("footer", {}, buttons) : null);
    node.addEventListener("close", () => {
      if (shelf && node.contains(shelf)) document.body.append(shelf); // what was said outlives the dialog
      node.remove();
      if (onclose) onclose();
    });
    node.addEventListener("mousedown", (e) => { if (e.target === node) node.close(); });
    document.body.append(node);
    node.showModal();
    return node;
  }

  // ---------------------------------------------------------------- words explained on hover and on focus
  let bubble;
  let words = {};
  const explain = (glossary) => { words = glossary; };
  function showBubble(target, line) {
    if (!bubble) document.body.append((bubble = h("div", { class: "inf-bubble", role: "tooltip", id: "inf-bubble" })));
    text(bubble, line);
    bubble.classList.add("on");
    const r = target.getBoundingClientRect();
    const b = bubble.getBoundingClientRect();
    const left = Math.max(8, Math.min(r.left, innerWidth - b.width - 8));
    const above = r.bottom + b.height + 12 > innerHeight;
    bubble.style.left = `${left}px`;
    bubble.style.top = `${above ? r.top - b.height - 6 : r.bottom + 6}px`;
    target.setAttribute("aria-describedby", "inf-bubble");
  }
  function hideBubble(target) {
    if (bubble) bubble.classList.remove("on");
    if (target) target.removeAttribute("aria-describedby");
  }
  /** What is told of a node; nothing where it stands beside the node anyway. */
  const said = (node) => (node.__shown && node.__shown.offsetParent ? "" : node.dataset.tip || words[node.dataset.term]);
  for (const [type, show] of [["mouseover", true], ["focusin", true], ["mouseout", false], ["focusout", false]])
    document.addEventListener(type, (event) => {
      const node = event.target.closest && event.target.closest("[data-term], [data-tip]");
      if (!node || (type === "focusin" && performance.now() - pressed < 400)) return;
      if (show && said(node)) showBubble(node, said(node));
      else hideBubble(node);
    });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hideBubble(); });
  let pressed = 0;
  document.addEventListener("pointerdown", () => { pressed = performance.now(); hideBubble(); }); // a bubble would lie over what the click changes
  /** A word of the field, explained where it stands. */
  const term = (key, shown) => h("dfn", { "data-term": key, tabindex: "0" }, shown || key);

  // ---------------------------------------------------------------- light and dark
  function dark(now) {
    document.body.classList.toggle("dark", now);
    keep.set("theme", now ? "dark" : "light");
    app.store.emit("theme", now);
  }
  const isDark = () => document.body.classList.contains("dark");
  const wanted = keep.get("theme");
  const start = () => { if (wanted && !/__theme=/.test(location.search)) document.body.classList.toggle("dark", wanted === "dark"); };
  if (document.body) start(); else document.addEventListener("DOMContentLoaded", start);
  const colour = (name) => getComputedStyle(document.body).getPropertyValue(`--${name}`).trim();

  // ---------------------------------------------------------------- a view's frame
  /** The heading of a view: number, title, one line that says what it is, tools at the right. */
  function frame(root, number, title, about, tools) {
    const body = h("div", { class: "view-body" });
    const heading = `view-title-${number}`;
    root.setAttribute("role", "region");
    root.setAttribute("aria-labelledby", heading);
    const named = h("h2", { id: heading, "data-tip": about }, h("span", { class: "view-number", "aria-hidden": "true" }, number), title);
    const hint = (named.__shown = h("p", { class: "view-about" }, about)); // small windows hide it: then the title tells
    root.append(h("header", { class: "view-head" }, named, tools), hint, body);
    return body;
  }

  /** What a view shows while there is nothing to show. */
  const empty = (line, ...more) => h("div", { class: "view-empty" }, h("p", {}, line), ...more);

  /** A row of choices of which one is on: segmented([["weight", "weight"], …], value, fn, label). */
  function segmented(options, value, onpick, label) {
    const node = h("div", { class: "segmented", role: "radiogroup", "aria-label": label });
    node.set = (v) => {
      for (const b of node.children) {
        const onNow = b.dataset.value === String(v);
        b.setAttribute("aria-checked", onNow);
        b.tabIndex = onNow ? 0 : -1;
      }
    };
    for (const [v, shown, extra] of options)
      node.append(h("button", { type: "button", role: "radio", "data-value": v, onclick: () => { node.set(v); onpick(v); }, ...(extra || {}) }, shown));
    app.dom.roving(node, "button", { keys: "both" });
    node.addEventListener("keydown", (e) => { if (e.key.startsWith("Arrow")) document.activeElement.click(); });
    node.set(value);
    return node;
  }

  // ---------------------------------------------------------------- taking things away
  function save(name, url) {
    const a = h("a", { href: url, download: name });
    document.body.append(a);
    a.click();
    a.remove();
  }
  function saveBlob(name, blob) {
    const url = URL.createObjectURL(blob);
    save(name, url);
    setTimeout(() => URL.revokeObjectURL(url), 4000);
  }
  async function copy(line) {
    try {
      await navigator.clipboard.writeText(line);
      return true;
    } catch {
      const box = h("textarea", { class: "offstage", readonly: true }, line);
      document.body.append(box);
      box.select();
      const done = document.execCommand("copy");
      box.remove();
      return done;
    }
  }

  app.ui = { icon, button, say, dialog, explain, term, dark, isDark, colour, frame, empty, segmented, save, saveBlob, copy, keep };
})();
