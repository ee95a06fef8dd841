// 3 Concept influence: the student of one class as words with signed weights, and how each word spreads over images.
const { store, ui, dom, chart } = window.inficond;
const { h, s, attr, text, keyed, fmt, unpack } = dom;
const SIDES = ["agree", "missed", "extra"];
let data = null;
let order = ui.keep.get("influence-order") || "weight";
let scale = 1;
let points = new Map(); // concept -> {x: Float32Array in 0..100, y: Float32Array}
let rowsOf = new Int32Array(0); // image row of each point
let sides = new Uint8Array(0); // 0 agree, 1 missed, 2 extra

const named = h("span", { class: "chip" }, h("span", { class: "cut", "data-name": "" }));
view.tools.append(named, ui.segmented([["weight", "weight"], ["gap", "gap"], ["name", "name"]], order, (v) => { order = v; ui.keep.set("influence-order", v); if (data) draw(data); }, "Order of the concepts"));
const head = h("div", { class: "inf-head" },
  h("span", {}, "concept"), h("span", { class: "centre" }, "− ", ui.term("weight"), " +"),
  h("span", { class: "keys" }, ui.term("activation", "values"), h("span", { class: "key" }, h("i", { class: "fill-agree-pos round" }), "agree"), h("span", { class: "key" }, h("i", { class: "fill-missed round" }), "missed"), h("span", { class: "key" }, h("i", { class: "fill-extra round" }), "extra")),
  h("span", { class: "right" }, ui.term("gap")));
const list = h("div", { class: "inf-rows scroll", role: "listbox", "aria-multiselectable": "true", "aria-label": "Concepts" });
const footLine = h("span", { role: "status" });
const unbrush = ui.button("Clear the brush", { kind: "quiet", hidden: true, title: "Clear the brush (Escape)", onclick: () => store.brush(null) });
const foot = h("div", { class: "inf-foot muted" }, footLine, unbrush);
view.body.append(head, list, foot);
dom.roving(list, ".inf-row");

function create(c) {
  const strip = s("svg", { class: "strip", viewBox: "0 0 100 26", preserveAspectRatio: "none", "aria-hidden": "true" },
    s("line", { x1: 0, x2: 100, y1: 14, y2: 14, class: "base" }),
    SIDES.map((side) => s("path", { class: `dots ${side}` })),
    s("path", { class: "dots lit" }),
    s("rect", { class: "brush", y: 1, height: 24, width: 0 }));
  const row = h("div", { class: "inf-row", role: "option", "data-concept": c.name, tabindex: "-1" },
    h("span", { class: "inf-name cut", "data-name": "" }),
    h("span", { class: "bar" }, h("i", { class: "fill" }), h("i", { class: "ghost", hidden: true }), h("b", {})),
    strip, h("span", { class: "right gap" }));
  row.addEventListener("click", (event) => { if (!event.target.closest(".strip") || !brushed) store.toggleConcept(row.__item.name); brushed = false; });
  row.addEventListener("mouseenter", () => store.hover(row.__item.name));
  row.addEventListener("mouseleave", () => store.hover(null));
  row.addEventListener("focus", () => store.hover(row.__item.name));
  row.addEventListener("blur", () => store.hover(null));
  row.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); store.toggleConcept(row.__item.name); }
    else if (event.key === "b") brushByKey(row.__item.name);
    else if (event.key === "Escape") store.brush(null);
    else if (!event.ctrlKey && !event.metaKey && !event.altKey) store.emit("tune-key", { concept: row.__item.name, weight: row.__item.weight, event });
  });
  strip.addEventListener("pointerdown", (event) => beginBrush(event, strip, row));
  return row;
}

function update(row, c) {
  const [name, bar, strip, gap] = row.children;
  text(name, c.name);
  name.title = c.group ? `${c.name} (group ${c.group})` : c.name;
  attr(row, "data-weight", c.weight);
  const [fill, , label] = bar.children;
  lay(fill, c.weight);
  fill.className = `fill ${c.weight < 0 ? "neg" : "pos"}`;
  text(label, c.weight === 0 ? "0" : fmt.signed(c.weight));
  row.classList.toggle("zero", c.weight === 0);
  drawGhost(bar, c);
  const p = points.get(c.name);
  SIDES.forEach((_, k) => attr(strip.children[1 + k], "d", p ? p.paths[k] : ""));
  attr(strip.children[4], "d", "");
  text(gap, fmt.signed(c.gap));
  row.setAttribute("aria-label", `${c.name}: weight ${fmt.signed(c.weight)}, gap ${fmt.signed(c.gap)}`);
}

/** A bar from the middle to a weight. */
function lay(node, w, least = 0) {
  const share = Math.max(least, Math.min(1, Math.abs(w) / scale)).toFixed(4);
  node.style.left = w < 0 ? `calc(50% - ${share} * var(--reach))` : "50%";
  node.style.width = `calc(${share} * var(--reach))`;
}

/** The predicted weight as a dashed bar; the number stands behind whichever of the two reaches farther. */
function drawGhost(bar, c) {
  const [, ghost, label] = bar.children;
  const preview = store.state.preview;
  const w = preview && preview.weights ? preview.weights[c.name] : undefined;
  const shown = w !== undefined && Math.abs(w - c.weight) > 0.004 * scale;
  ghost.hidden = !shown;
  const far = shown && w * c.weight >= 0 && (w < 0) === (c.weight < 0) ? Math.max(Math.abs(w), Math.abs(c.weight)) : Math.abs(c.weight);
  const end = `calc(50% + ${Math.min(1, far / scale).toFixed(4)} * var(--reach) + 4px)`;
  label.style.left = c.weight < 0 ? "auto" : end;
  label.style.right = c.weight < 0 ? end : "auto";
  if (!shown) return;
  lay(ghost, w, 0.012);
  ghost.className = `ghost ${w < 0 ? "neg" : "pos"}`;
}

function layPoints() {
  rowsOf = unpack(data.points.rows, Int32Array);
  sides = unpack(data.points.sides, Uint8Array);
  const bytes = unpack(data.points.values.bytes, Uint8Array);
  const n = rowsOf.length;
  points = new Map();
  data.points.concepts.forEach((concept, k) => {
    const x = new Float32Array(n);
    for (let i = 0; i < n; i++) x[i] = 1.5 + (97 * bytes[k * n + i]) / 255;
    const y = new Float32Array(n);
    const parts = ["", "", ""];
    for (const above of [true, false]) {
      const level = new Uint16Array(64);
      for (let i = 0; i < n; i++) {
        if ((sides[i] === 0) !== above) continue;
        const bin = Math.min(63, (x[i] / 1.6) | 0);
        const l = level[bin]++;
        y[i] = above ? 13 - (l % 5) * 2.6 : 16.4 + (l % 4) * 2.6;
        parts[sides[i]] += `M${x[i].toFixed(1)} ${y[i].toFixed(1)}h0`;
      }
    }
    points.set(concept, { x, y, paths: parts, low: data.points.values.low[k], high: data.points.values.high[k] });
  });
}

function draw(now) {
  const fresh = now !== data;
  data = now;
  if (fresh) layPoints();
  text(named.firstElementChild, data.cls + (data.part ? ` · ${data.part}` : ""));
  scale = chart.ceilNice(Math.max(0.05, ...data.rows.map((r) => Math.abs(r.weight))));
  const picked = new Set(store.state.selection.concepts);
  const sorted = [...data.rows];
  if (order === "name") sorted.sort((a, b) => a.name.localeCompare(b.name));
  else if (order === "gap") sorted.sort((a, b) => Math.abs(b.gap || 0) - Math.abs(a.gap || 0));
  else sorted.sort((a, b) => Math.abs(b.weight) - Math.abs(a.weight) || Math.abs(b.gap || 0) - Math.abs(a.gap || 0));
  const shown = sorted.filter((r) => r.weight !== 0 || order !== "weight" || picked.has(r.name) || r.added || sorted.length <= 40);
  keyed(list, shown, (r) => r.name, create, update);
  const idle = order === "weight" ? shown.find((r) => r.weight === 0) : null;
  for (const row of list.children) attr(row, "data-heading", idle && row.__key === idle.name ? "without weight: words that would tell failures apart, by gap" : null);
  tellBrush();
  mark();
}

/** What the brush holds, and how to be rid of it; else what the list is and what can be done in it. */
function tellBrush() {
  const b = store.state.brush;
  text(footLine, b ? `${b.rows.size} of the dots: “${b.concept}” from ${fmt.num(b.low)} to ${fmt.num(b.high)}` : `${data.n_active} of ${data.n_concepts} concepts carry weight for ${data.cls}. Click a word to tune it, drag over the dots to brush.`);
  footLine.title = footLine.textContent;
  unbrush.hidden = !b;
  foot.classList.toggle("brushed", Boolean(b));
}

function mark() {
  const picked = new Set(store.state.selection.concepts);
  for (const row of list.children) attr(row, "aria-selected", picked.has(row.__key) ? "true" : "false");
  dom.tabStop(list.children, (row) => row === document.activeElement);
}

// ---------------------------------------------------------------- brushing: in the browser alone
let brushed = false;
function beginBrush(event, strip, row) {
  if (event.button !== 0) return;
  const box = strip.getBoundingClientRect();
  const at = (e) => Math.max(0, Math.min(100, (100 * (e.clientX - box.left)) / box.width));
  const from = at(event);
  let moved = false;
  strip.setPointerCapture(event.pointerId);
  const move = (e) => {
    const to = at(e);
    if (!moved && Math.abs(to - from) < 1.5) return;
    moved = true;
    setBrush(row.__item.name, Math.min(from, to), Math.max(from, to));
  };
  const up = () => {
    strip.removeEventListener("pointermove", move);
    strip.removeEventListener("pointerup", up);
    strip.removeEventListener("pointercancel", up);
    brushed = moved;
    if (!moved) setBrush(null);
  };
  strip.addEventListener("pointermove", move);
  strip.addEventListener("pointerup", up);
  strip.addEventListener("pointercancel", up);
}

/** `low`, `high` in parts of the strip, 0 to 100. */
function setBrush(concept, low, high) {
  if (!concept) return store.brush(null);
  const p = points.get(concept);
  if (!p) return;
  const value = (x) => p.low + ((x - 1.5) / 97) * (p.high - p.low);
  const rows = new Set();
  for (let i = 0; i < rowsOf.length; i++) if (p.x[i] >= low && p.x[i] <= high) rows.add(rowsOf[i]);
  store.brush({ concept, low: value(low), high: value(high), at: [low, high], rows });
}
const turns = [[75, 100], [0, 25], null];
let turn = { concept: null, i: 0 };
function brushByKey(concept) {
  turn = { concept, i: turn.concept === concept && store.state.brush ? (turn.i + 1) % turns.length : 0 };
  const range = turns[turn.i];
  if (range) setBrush(concept, ...range);
  else setBrush(null);
}

function light(rows) {
  const has = rows && rows.size;
  list.classList.toggle("dimmed", Boolean(has));
  for (const row of list.children) {
    const path = row.children[2].children[4];
    const p = has ? points.get(row.__key) : null;
    let d = "";
    if (p) for (let i = 0; i < rowsOf.length; i++) if (rows.has(rowsOf[i])) d += `M${p.x[i].toFixed(1)} ${p.y[i].toFixed(1)}h0`;
    attr(path, "d", d);
  }
}
store.on("brush", (b) => {
  for (const row of list.children) {
    const rect = row.children[2].children[5];
    const on = b && b.concept === row.__key;
    attr(rect, "x", on ? b.at[0] : 0);
    attr(rect, "width", on ? b.at[1] - b.at[0] : 0);
  }
  light(b ? b.rows : null);
  if (data) tellBrush();
});
store.on("hover-image", (row) => light(row === null ? (store.state.brush ? store.state.brush.rows : null) : new Set([row])));
store.on("hover", (concept) => {
  for (const row of list.children) row.classList.toggle("hovered", row.__key === concept);
});
store.on("preview", () => { for (const row of list.children) drawGhost(row.children[1], row.__item); });
store.on("select", mark);
view.part("influence.rows", draw);

chart.offer("concept influence", () => {
  const rows = [...list.children].map((r) => r.__item).slice(0, 40);
  const height = 24 * rows.length + 72;
  const svg = s("svg", { viewBox: `0 0 760 ${height}`, width: 760, height });
  svg.append(chart.heading(`Concepts that speak for and against “${data.cls}”${data.part ? `, ${data.part}` : ""}`, [[10, "concept"], [330, "weight", "middle"], [503, "value in each image"], [750, "gap", "end"]], [["agree-pos", "agree"], ["missed", "missed"], ["extra", "extra"]]));
  rows.forEach((r, i) => {
    const y = 64 + 24 * i;
    const w = (130 * Math.abs(r.weight)) / scale;
    svg.append(s("text", { x: 10, y: y + 13, "font-size": 12 }, r.name.slice(0, 26)));
    svg.append(s("rect", { x: r.weight < 0 ? 330 - w : 330, y: y + 2, width: w, height: 14, fill: ui.colour(r.weight < 0 ? "neg" : "pos") }), s("line", { x1: 330, x2: 330, y1: y - 3, y2: y + 21, stroke: ui.colour("edge"), "stroke-width": 0.7 }));
    svg.append(s("text", { x: r.weight < 0 ? 325 - w : 335 + w, y: y + 13, "font-size": 11, "text-anchor": r.weight < 0 ? "end" : "start" }, fmt.signed(r.weight)));
    const p = points.get(r.name);
    if (p) SIDES.forEach((side, k) => {
      let d = "";
      for (let j = 0; j < rowsOf.length; j++) if (sides[j] === k) d += `M${(500 + 2 * p.x[j]).toFixed(1)} ${(y - 2 + p.y[j] * 0.85).toFixed(1)}h0`;
      svg.append(s("path", { d, fill: "none", stroke: ui.colour(k === 0 ? "agree-pos" : side), "stroke-width": 2.6, "stroke-linecap": "round" }));
    });
    svg.append(s("text", { x: 750, y: y + 13, "font-size": 11, "text-anchor": "end" }, fmt.signed(r.gap)));
  });
  return svg;
});
