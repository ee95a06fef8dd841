// 4 Concept tuning: raise, lower, mute or lock a concept; see at once what it would do; apply.
const { store, ui, dom, chart } = window.inficond;
const { h, attr, text, keyed, fmt } = dom;
let data = null;
let limit = 1;
let vocabulary = [];
let groupOf = new Map(); // concept -> what an action on its whole group is called

const applyButton = ui.button("Apply", { kind: "primary", disabled: true, onclick: () => store.apply() });
const reset = ui.button("Reset", { disabled: true, title: "Take back what is not applied yet", onclick: () => { store.dropPending(); store.emit("preview", null); } });
const focus = h("select", { "aria-label": "Focus of the refit", "data-term": "focus" });
const find = h("input", { type: "search", placeholder: "tune a word", "aria-label": "Find a concept to tune", list: "all-concepts", autocomplete: "off" });
view.tools.append(find, focus, reset, applyButton);
focus.addEventListener("change", () => store.setFocus(focusOf.get(focus.value) || null));

const effect = h("div", { class: "effect", role: "status", "aria-live": "polite" });
const suggested = h("div", { class: "idea-row" }, h("span", { class: "muted" }, "Looking for suggestions…"));
store.on("later:tuning.suggestions", (line) => suggested.replaceChildren(h("span", { class: "muted" }, line)));
const missing = h("div", { class: "idea-row" });
const ideas = h("div", { class: "ideas" }, suggested, missing);
const focusOf = new Map(); // what the server is told of each choice of focus
const list = h("div", { class: "tune-rows scroll" });
view.body.append(effect, ideas, list);
find.addEventListener("change", () => {
  const name = find.value.trim();
  if (!name) return;
  if (!vocabulary.includes(name)) return ui.say(`“${name}” is not among this project's concepts; add it in view 1.`);
  find.value = "";
  store.select({ concepts: [...store.state.selection.concepts.filter((c) => c !== name), name] }).then(() => {
    const node = [...list.children].find((n) => n.__key === name);
    if (node && document.activeElement === find) node.querySelector(".slider").focus();
  });
});

const pendingOf = (name) => store.state.pending.find((a) => a.concept === name || a.concept === groupOf.get(name));
const predicted = (row) => {
  const p = store.state.preview;
  return p && p.weights && row.name in p.weights ? p.weights[row.name] : row.weight;
};

// ---------------------------------------------------------------- one row
function create(row) {
  const slider = h("div", { class: "slider", role: "slider", tabindex: "0", "aria-label": `weight of ${row.name}`, "aria-keyshortcuts": "+ - M L F Delete Enter" },
    h("i", { class: "rail" }), h("i", { class: "allowed", hidden: true }), h("i", { class: "zero" }), h("i", { class: "moved", hidden: true }), h("i", { class: "was" }), h("i", { class: "ghost", hidden: true }), h("i", { class: "thumb" }));
  const node = h("div", { class: "tune-row", "data-concept": row.name },
    h("span", { class: "tune-named" }, h("span", { class: "tune-name cut", "data-name": "" }), h("small", { class: "tune-bound" })),
    ui.button(`Lower ${row.name}`, { icon: "minus", wide: false, kind: "quiet small", tabindex: "-1", onclick: () => step(node.__item, "down") }),
    slider,
    ui.button(`Raise ${row.name}`, { icon: "plus", wide: false, kind: "quiet small", tabindex: "-1", onclick: () => step(node.__item, "up") }),
    ui.button(`Mute ${row.name}`, { icon: "mute", wide: false, kind: "quiet small", tabindex: "-1", onclick: () => toggle(node.__item, "mute") }),
    ui.button(`Lock ${row.name}`, { icon: "lock", wide: false, kind: "quiet small", tabindex: "-1", onclick: () => toggle(node.__item, "lock") }),
    h("span", { class: "tune-value" }));
  slider.addEventListener("pointerdown", (event) => drag(event, slider, node));
  slider.addEventListener("keydown", (event) => keys(event, node.__item));
  slider.addEventListener("dblclick", () => store.propose(node.__item.name, null));
  node.addEventListener("mouseenter", () => store.hover(node.__item.name));
  slider.addEventListener("focus", () => store.hover(node.__item.name));
  slider.addEventListener("blur", () => store.hover(null));
  node.addEventListener("mouseleave", () => store.hover(null));
  return node;
}

const SAID = { up: "raised", down: "lowered", mute: "muted", lock: "locked", set: "fixed" };
const place = (w) => `${50 + 50 * Math.max(-1, Math.min(1, w / limit))}%`;

function update(node, row) {
  const [named, , slider, , mute, lock, value] = node.children;
  const [name, tag] = named.children;
  const [, allowed, , moved, was, ghost, thumb] = slider.children;
  text(name, row.name);
  name.title = row.name;
  const action = pendingOf(row.name);
  const after = predicted(row);
  const target = action ? aim(row, action) : row.weight;
  thumb.style.left = place(target);
  was.style.left = place(row.weight);
  const shift = Math.abs(target - row.weight) > 1e-9;
  moved.hidden = !shift;
  if (shift) {
    const a = 50 + 50 * Math.max(-1, Math.min(1, Math.min(target, row.weight) / limit));
    const b = 50 + 50 * Math.max(-1, Math.min(1, Math.max(target, row.weight) / limit));
    moved.style.left = `${a}%`;
    moved.style.width = `${b - a}%`;
    moved.className = `moved ${target > row.weight ? "pos" : "neg"}`;
  }
  ghost.hidden = Math.abs(after - target) < 0.004 * limit;
  ghost.style.left = place(after);
  const bound = row.bound;
  allowed.hidden = !bound;
  if (bound) {
    const low = bound.lower === null ? -limit : Math.max(-limit, bound.lower);
    const high = bound.upper === null ? limit : Math.min(limit, bound.upper);
    allowed.style.left = place(low);
    allowed.style.width = `${(50 * (high - low)) / limit}%`;
    allowed.classList.toggle("fixed", high - low < 1e-6);
  }
  text(tag, action ? "" : bound ? SAID[bound.kind] || bound.kind : "");
  tag.hidden = !tag.textContent;
  const kind = action ? action.kind : bound ? bound.kind : "";
  attr(mute, "aria-pressed", kind === "mute" ? "true" : "false");
  attr(lock, "aria-pressed", kind === "lock" ? "true" : "false");
  node.classList.toggle("changed", Boolean(action));
  node.classList.toggle("bounded", Boolean(bound));
  attr(node, "data-heading", row.heading);
  const changed = Math.abs(after - row.weight) >= 0.005;
  text(value, changed || action ? `${fmt.signed(row.weight)} → ${fmt.signed(after)}` : fmt.signed(row.weight) || "0");
  tag.title = bound ? `bound in force: ${bound.text}; F lifts it` : "";
  attr(slider, "aria-valuemin", (-limit).toFixed(2));
  attr(slider, "aria-valuemax", limit.toFixed(2));
  attr(slider, "aria-valuenow", target.toFixed(3));
  attr(slider, "aria-valuetext", `${fmt.signed(target)}${action ? `, ${action.kind}, not applied yet` : ""}${bound ? `, bound: ${bound.text}` : ""}`);
}

/** Where the slider stands for a pending action. */
function aim(row, action) {
  if (action.kind === "set") return action.value;
  if (action.kind === "mute") return 0;
  if (action.kind === "up") return row.weight + (action.value - 1) * Math.max(Math.abs(row.weight), data.tau);
  if (action.kind === "down") return row.weight - (action.value - 1) * Math.max(Math.abs(row.weight), data.tau);
  return row.weight;
}

const STRENGTHS = [1.5, 2, 3, 5];
function step(row, kind) {
  const now = pendingOf(row.name);
  const opposite = kind === "up" ? "down" : "up";
  if (now && now.kind === opposite) {
    const i = STRENGTHS.indexOf(now.value);
    store.propose(row.name, i > 0 ? { kind: opposite, value: STRENGTHS[i - 1] } : null);
  } else {
    const i = now && now.kind === kind ? STRENGTHS.indexOf(now.value) : -1;
    store.propose(row.name, { kind, value: STRENGTHS[Math.min(STRENGTHS.length - 1, i + 1)] });
  }
}
function toggle(row, kind) {
  const now = pendingOf(row.name);
  if (now && (now.kind === kind || now.kind === "free")) store.propose(row.name, null);
  else if (!now && row.bound && row.bound.kind === kind) store.propose(row.name, { kind: "free" });
  else store.propose(row.name, { kind });
}
const round = (w) => Math.round(w * 1000) / 1000;

function drag(event, slider, node) {
  if (event.button !== 0) return;
  event.preventDefault();
  slider.focus();
  slider.setPointerCapture(event.pointerId);
  const box = slider.getBoundingClientRect();
  let moved = event.target.classList.contains("thumb") ? 0 : 99;
  const start = event.clientX;
  const go = dom.perFrame((x) => {
    let w = (((x - box.left) / box.width) * 2 - 1) * limit;
    if (Math.abs(w) < limit * 0.02) w = 0; // a small catch at zero
    store.propose(node.__item.name, { kind: "set", value: round(Math.max(-limit, Math.min(limit, w))) });
  });
  const move = (e) => {
    moved = Math.max(moved, Math.abs(e.clientX - start));
    if (moved > 2) go(e.clientX);
  };
  const up = () => {
    slider.removeEventListener("pointermove", move);
    slider.removeEventListener("pointerup", up);
    slider.removeEventListener("pointercancel", up);
    node.removeAttribute("data-dragging");
  };
  node.setAttribute("data-dragging", "");
  slider.addEventListener("pointermove", move);
  slider.addEventListener("pointerup", up);
  slider.addEventListener("pointercancel", up);
  if (moved > 2) go(event.clientX);
}

function keys(event, row) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (tune(event, row)) return;
  const small = limit / 50;
  const now = pendingOf(row.name);
  const at = now ? aim(row, now) : row.weight;
  const to = { ArrowRight: at + small, ArrowUp: at + small, ArrowLeft: at - small, ArrowDown: at - small, PageUp: at + 5 * small, PageDown: at - 5 * small, Home: -limit, End: limit, 0: 0 }[event.key];
  if (to !== undefined) {
    event.preventDefault();
    store.propose(row.name, { kind: "set", value: round(Math.max(-limit, Math.min(limit, to))) });
  } else if (event.key === "Escape") store.propose(row.name, null);
  else if (event.key === "Enter" && store.state.pending.length) { event.preventDefault(); store.apply(); }
}

/** The keys that tune a word, at its slider and at its row in view 3. */
function tune(event, row) {
  if (event.key === "m") toggle(row, "mute");
  else if (event.key === "l") toggle(row, "lock");
  else if (event.key === "+" || event.key === "=") step(row, "up");
  else if (event.key === "-") step(row, "down");
  else if (event.key === "f") { if (row.bound) store.propose(row.name, { kind: "free" }); }
  else if (event.key === "Delete" || event.key === "Backspace") store.propose(row.name, null);
  else return false;
  return true;
}
store.on("tune-key", ({ concept, weight, event }) => {
  const known = data && data.rows.find((r) => r.name === concept);
  tune(event, known || { name: concept, weight, bound: null });
});

// ---------------------------------------------------------------- the whole
function draw() {
  if (!data) return;
  const biggest = Math.max(0.1, ...data.rows.map((r) => Math.abs(r.weight)));
  limit = chart.ceilNice(1.4 * biggest);
  const known = new Set(data.rows.map((r) => r.name));
  const extra = store.state.pending.filter((a) => !known.has(a.concept) && !a.concept.startsWith("group:")).map((a) => ({ name: a.concept, weight: 0, bound: null }));
  keyed(list, [...extra, ...data.rows], (r) => r.name, create, update);
}

chart.offer("concept tuning", () => {
  const rows = [...list.children].map((node) => node.__item);
  const svg = dom.s("svg", { viewBox: `0 0 640 ${24 * rows.length + 48}`, width: 640, height: 24 * rows.length + 48 });
  const s = dom.s;
  const at = (w) => 340 + 170 * Math.max(-1, Math.min(1, w / limit));
  svg.append(s("text", { x: 10, y: 20, "font-size": 13, "font-weight": 600 }, `Weights of “${data.cls}”${store.state.pending.length ? ", now and as predicted (dashed)" : ""}`));
  rows.forEach((row, i) => {
    const y = 38 + 24 * i, after = predicted(row);
    svg.append(s("text", { x: 10, y: y + 12, "font-size": 12 }, row.name.slice(0, 26)), s("line", { x1: 170, x2: 510, y1: y + 8, y2: y + 8, stroke: ui.colour("line"), "stroke-width": 3 }), s("line", { x1: 340, x2: 340, y1: y, y2: y + 16, stroke: ui.colour("edge") }),
      s("rect", { x: Math.min(at(0), at(row.weight)), y: y + 3, width: Math.abs(at(row.weight) - at(0)), height: 10, fill: ui.colour(row.weight < 0 ? "neg" : "pos") }));
    if (Math.abs(after - row.weight) >= 0.005) svg.append(s("circle", { cx: at(after), cy: y + 8, r: 6, fill: "none", stroke: ui.colour("ink"), "stroke-dasharray": "3 2" }));
    svg.append(s("text", { x: 630, y: y + 12, "font-size": 11, "text-anchor": "end" }, `${fmt.signed(row.weight)}${Math.abs(after - row.weight) >= 0.005 ? ` → ${fmt.signed(after)}` : ""}${row.bound ? ` (${SAID[row.bound.kind] || row.bound.kind})` : ""}`));
  });
  return svg;
});

function drawEffect() {
  const { pending, preview } = store.state;
  const some = pending.length > 0;
  applyButton.disabled = !some;
  reset.disabled = !some;
  if (!some) {
    effect.replaceChildren(...(data ? data.now : []).map((c) => h("span", { class: "now", "data-term": c.term }, h("small", {}, c.label), h("b", {}, c.value))));
    return;
  }
  if (!preview) return effect.replaceChildren(h("span", { class: "muted" }, "Working out the effect…"));
  if (preview.error) return effect.replaceChildren(h("span", { class: "bad" }, preview.error));
  effect.replaceChildren(...preview.changes.map((c) => h("span", { class: `change ${c.clear ? (c.better ? "good" : "bad") : "unclear"}`, "data-tip": c.more },
    h("small", {}, c.label), h("b", {}, `${c.before} → ${c.after}`), h("small", {}, c.count ? "images" : c.clear ? brief(`${c.delta} ${c.range}`) : "no clear change"))));
}
/** As tables have numbers: +0.34 -> +.34. */
const brief = (t) => t.replace(/([+\u2212])0\./g, "$1.");

view.part("tuning.state", (now) => {
  data = now;
  focusOf.clear();
  for (const f of data.focuses) focusOf.set(f.id, f.focus);
  keyed(focus, [{ id: "", label: "no focus", usable: true }, ...data.focuses], (f) => f.id, (f) => h("option", { value: f.id }), (node, f) => { text(node, f.label); node.disabled = !f.usable; });
  const wanted = JSON.stringify(store.state.focus);
  const kept = data.focuses.find((f) => f.usable && JSON.stringify(f.focus) === wanted);
  focus.value = kept ? kept.id : "";
  if (!kept && store.state.focus) store.setFocus(null); // a slice that is no longer selected, a subset that is empty now
  draw();
  drawEffect();
});
view.part("tuning.words", ({ names: words, groups }) => {
  groupOf = new Map(words.map((w, i) => [w, `group:${groups[i]}`]));
  if (words.join("\n") === vocabulary.join("\n")) return;
  vocabulary = words;
  let list = document.getElementById("all-concepts");
  if (!list) document.body.append((list = h("datalist", { id: "all-concepts" })));
  list.replaceChildren(...words.map((w) => h("option", { value: w })));
});
view.part("tuning.suggestions", (now) => {
  drawIdeas(now);
});
store.on("select", ({ changed }) => { if (changed.includes("cls")) { suggested.replaceChildren(h("span", { class: "muted" }, "Looking for suggestions…")); missing.replaceChildren(); }; });

function drawIdeas(now) {
  if (!now.suggestions.length) return suggested.replaceChildren(h("span", { class: "muted" }, "No suggestion: nothing stands out for this class."));
  suggested.replaceChildren(h("span", { class: "muted ideas-title" }, ui.term("suggestion", "Try")),
    ...now.suggestions.map((idea, i) => h("button", { type: "button", class: "idea", "aria-label": `Suggestion: ${idea.text}, ${idea.gain}`, "data-suggestion": i, "data-tip": idea.more, onclick: () => store.proposeAll(idea.actions) },
      h("span", { class: "cut", "data-name": "" }, idea.text), h("b", { class: idea.clear ? "good" : "muted" }, idea.gain))),
);
}
view.part("tuning.missing", (now) => {
  missing.replaceChildren();
  if (!now.words.length) return;
  missing.append(h("span", { class: "muted ideas-title" }, ui.term("missing", "Add")), h("div", { class: "idea-stack" }, now.words.map((word) => h("button", { type: "button", class: "idea add", "data-tip": word.more, "aria-label": `Add the missing concept ${word.word}`, onclick: () => store.act("add_concept", { word: word.word }) },
    ui.icon("plus"), h("span", { class: "cut", "data-name": "" }, word.word)))));
});

store.on("pending", () => { draw(); drawEffect(); });
store.on("preview", () => { draw(); drawEffect(); });
// What is shown belongs to an earlier position of the hand until the next preview is there.
store.on("preview-due", (on) => { effect.toggleAttribute("data-old", on); list.toggleAttribute("data-old", on); attr(effect, "aria-busy", on ? "true" : null); });
store.on("acting", (on) => { applyButton.toggleAttribute("data-busy", on); });
store.on("hover", (concept) => { for (const node of list.children) node.classList.toggle("hovered", node.__key === concept); });
