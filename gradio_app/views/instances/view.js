// 5 Instances: the images themselves, a wall that only ever draws what is in sight; one image opened beneath it.
const { store, ui, dom, chart } = window.inficond;
const { h, s, attr, text, keyed, fmt, unpack } = dom;
const NAMES = { "agree-pos": "both yes", missed: "missed", extra: "extra", "agree-neg": "both no" };
const SORTS = { disagreement: "by disagreement", teacher: "by teacher's yes", student: "by student's yes", name: "by name" };

let index = null; // {tile, columns, per_sheet, sheets}
let names = new Map(); // row -> image id, of those seen first; all of them are in `ids` a moment later
let ids = null;
let place = new Int32Array(0); // row -> its tile on the sheets: held-out images first
const nameOf = (row) => (ids ? ids[row] : names.get(row) || null);
let wall = null; // {rows, teacher, student, codes}
let shown = []; // positions in `wall`, sorted
let sort = ui.keep.get("instances-order") in SORTS ? ui.keep.get("instances-order") : "disagreement";
let values = null; // what hovering needs: concept -> bytes over the wall's rows
let sheetReady = new Map();
let opened = null;
let side = 78;
let columns = 5;

// ---------------------------------------------------------------- tools
const counts = h("div", { class: "segmented subsets", role: "radiogroup", "aria-label": "Subset" });
for (const id of ["", "missed", "extra", "agree-pos", "agree-neg"])
  counts.append(h("button", { type: "button", role: "radio", "data-choose": id, onclick: () => store.select({ subset: id || null, slice: null }) },
    id ? h("i", { class: `dot fill-${id}` }) : null, h("span", {}, id ? NAMES[id] : "all"), h("b", {})));
dom.roving(counts, "button", { keys: "both" });
const order = h("select", { "aria-label": "Order of the images" }, Object.entries(SORTS).map(([k, v]) => h("option", { value: k }, v)));
order.value = sort;
order.addEventListener("change", () => { sort = order.value; ui.keep.set("instances-order", sort); arrange(); });
const scope = h("select", { "aria-label": "Which images" }, h("option", { value: "" }, "held-out images"), h("option", { value: "all" }, "all images"));
scope.addEventListener("change", () => store.select({ scope: scope.value || null }));
const captionLine = h("span", { class: "cut" });
const caption = h("div", { class: "wall-caption muted", "aria-live": "polite" }, captionLine, h("span", { class: "wall-key" }, h("b", {}, "T"), " teacher, ", h("b", {}, "S"), " student, in %"));
view.tools.append(scope, order);

const spacer = h("div", { class: "wall-space", role: "presentation" });
const list = h("div", { class: "wall scroll", role: "listbox", "aria-label": "Images", tabindex: "-1" }, spacer);
const nothing = ui.empty("", ui.button("Show all images of this class", { onclick: () => store.select({ subset: null, slice: null }) }));
const panel = h("section", { class: "opened", "aria-label": "The opened image" });
view.body.append(counts, caption, list, panel);

// ---------------------------------------------------------------- the wall
const pool = new Map(); // position on the wall -> node
let focusAt = 0;

function arrange() {
  if (!wall || !index) return;
  const gap = (i) => Math.abs(wall.teacher[i] - wall.student[i]);
  shown = Array.from(wall.rows, (_, i) => i);
  if (sort === "disagreement") shown.sort((a, b) => gap(b) - gap(a));
  else if (sort === "teacher") shown.sort((a, b) => wall.teacher[b] - wall.teacher[a]);
  else if (sort === "student") shown.sort((a, b) => wall.student[b] - wall.student[a]);
  else if (ids) shown.sort((a, b) => (ids[wall.rows[a]] < ids[wall.rows[b]] ? -1 : 1));
  list.scrollTop = 0;
  focusAt = 0;
  paint(true);
}

function measure() {
  const width = list.clientWidth;
  if (!width) return false;
  columns = Math.max(3, Math.round(width / 84));
  side = Math.floor((width - 4 * (columns - 1)) / columns);
  return true;
}

function paint(all = false) {
  if (!index || !wall || !measure()) return;
  const step = side + 4;
  const lines = Math.ceil(shown.length / columns);
  const height = `${Math.max(0, lines * step - 4)}px`;
  if (spacer.style.height !== height) spacer.style.height = height;
  nothing.remove();
  if (!shown.length) { text(nothing.firstElementChild, "No image here: teacher and student do not part in this way."); list.before(nothing); }
  list.hidden = !shown.length;
  const first = Math.max(0, Math.floor(list.scrollTop / step) - 2) * columns;
  const last = Math.min(shown.length, (Math.ceil((list.scrollTop + list.clientHeight) / step) + 2) * columns);
  const spare = [];
  for (const [at, node] of pool) if (at < first || at >= last) { pool.delete(at); spare.push(node); }
  for (let at = first; at < last; at++) {
    let node = pool.get(at);
    const isNew = !node;
    if (isNew) {
      node = spare.pop() || tile();
      pool.set(at, node);
      if (!node.isConnected) spacer.append(node);
    }
    if (isNew || all) fillTile(node, at, step);
  }
  for (const node of spare) node.remove();
  lightTiles();
}

function tile() {
  return h("div", { class: "tile", role: "option" }, h("span", { class: "tile-text" }, h("span", {}), h("span", {})));
}

function fillTile(node, at, step) {
  const i = shown[at];
  const row = wall.rows[i];
  node.__at = at;
  node.__row = row;
  node.style.transform = `translate(${(at % columns) * step}px, ${Math.floor(at / columns) * step}px)`;
  node.style.width = node.style.height = `${side}px`;
  const sheet = Math.floor(place[row] / index.per_sheet);
  const k = place[row] % index.per_sheet;
  const ratio = side / index.tile;
  node.__sheet = sheet;
  dress(node, sheet);
  node.style.backgroundSize = `${index.columns * side}px auto`;
  node.style.backgroundPosition = `-${(k % index.columns) * index.tile * ratio}px -${Math.floor(k / index.columns) * index.tile * ratio}px`;
  const id = nameOf(row);
  const code = wall.codes[i];
  node.className = `tile code-${code}`;
  attr(node, "data-image", id);
  attr(node, "aria-selected", id !== null && id === store.state.selection.image ? "true" : "false");
  attr(node, "tabindex", at === focusAt ? "0" : "-1");
  attr(node, "aria-setsize", shown.length);
  attr(node, "aria-posinset", at + 1);
  const t = Math.round(100 * wall.teacher[i]);
  const u = Math.round(100 * wall.student[i]);
  attr(node, "aria-label", `${id || "image"}: teacher ${t} %, student ${u} %`);
  text(node.firstElementChild.children[0], `T ${t}`);
  text(node.firstElementChild.children[1], `S ${u}`);
}

/** The sheet behind a tile: known, or asked for once; the tile is dressed again when it comes. */
function dress(node, sheet) {
  const url = index.sheets[sheet];
  if (url) { node.style.backgroundImage = `url("${url}")`; return; }
  node.style.backgroundImage = "none";
  const mine = index;
  if (!sheetReady.has(sheet)) {
    sheetReady.set(sheet, store.call("sheet", { number: sheet }, { quiet: true }).then((answer) => {
      if (mine === index && answer.url) index.sheets[sheet] = answer.url;
    }).catch(() => {}).then(() => sheetReady.delete(sheet)));
  }
  // A pooled tile may show another image by then.
  sheetReady.get(sheet).then(() => { if (mine === index && node.__sheet === sheet && index.sheets[sheet]) dress(node, sheet); });
}

let scrolling = false;
list.addEventListener("scroll", () => {
  if (scrolling) return;
  scrolling = true;
  requestAnimationFrame(() => { scrolling = false; paint(); });
}, { passive: true });
new ResizeObserver(dom.perFrame(() => paint(true))).observe(list);

list.addEventListener("click", (event) => {
  const node = event.target.closest(".tile");
  if (node) open(node.__at);
});
list.addEventListener("mouseover", (event) => {
  const node = event.target.closest(".tile");
  if (node) store.emit("hover-image", node.__row);
});
list.addEventListener("mouseleave", () => store.emit("hover-image", null));
function open(at) {
  focusAt = at;
  const id = nameOf(wall.rows[shown[at]]);
  if (!id) return; // the names are on their way
  store.select({ image: id === store.state.selection.image ? null : id });
}
list.addEventListener("keydown", (event) => {
  const node = event.target.closest(".tile");
  if (!node) return;
  const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns, PageDown: 4 * columns, PageUp: -4 * columns, Home: -Infinity, End: Infinity }[event.key];
  if (event.key === "Enter" || event.key === " ") { event.preventDefault(); open(node.__at); }
  else if (step !== undefined) {
    event.preventDefault();
    const to = Math.max(0, Math.min(shown.length - 1, node.__at + step));
    focusTile(to);
    const id = store.state.selection.image && nameOf(wall.rows[shown[to]]);
    if (id) store.select({ image: id }); // one is open: the next one opens in its place
  }
});
view.root.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && store.state.selection.image && !event.defaultPrevented) store.select({ image: null });
});
function focusTile(at) {
  focusAt = at;
  const top = Math.floor(at / columns) * (side + 4);
  if (top < list.scrollTop) list.scrollTop = top;
  else if (top + side > list.scrollTop + list.clientHeight) list.scrollTop = top + side - list.clientHeight;
  paint(true);
  const node = pool.get(at);
  if (node) node.focus({ preventScroll: true });
}

// ---------------------------------------------------------------- what hover and brush light up
function lightTiles() {
  const { brush, hover } = store.state;
  let lit = null;
  if (brush && values && values.concepts.has(brush.concept)) {
    const k = values.concepts.get(brush.concept), n = values.rows.size, slack = (values.high[k] - values.low[k]) / 510;
    lit = (row) => {
      const i = values.rows.get(row);
      if (i === undefined) return 0;
      const x = values.low[k] + ((values.high[k] - values.low[k]) * values.bytes[k * n + i]) / 255;
      return x >= brush.low - slack && x <= brush.high + slack ? 1 : 0;
    };
  } else if (brush) lit = (row) => (brush.rows.has(row) ? 1 : 0);
  else if (hover && values && values.concepts.has(hover)) {
    const k = values.concepts.get(hover);
    const n = values.rows.size;
    lit = (row) => { const i = values.rows.get(row); return i === undefined ? 0 : values.bytes[k * n + i] / 255; };
  }
  list.classList.toggle("lighting", Boolean(lit));
  for (const node of pool.values()) {
    const o = lit ? (0.16 + 0.84 * Math.min(1, lit(node.__row))).toFixed(2) : "";
    if (node.style.opacity !== o) node.style.opacity = o;
  }
}
store.on("hover", lightTiles);
store.on("brush", (b) => {
  if (b && b.rows.size) { // bring the first lit one into sight
    const visible = [...pool.values()].some((n) => b.rows.has(n.__row) && n.offsetTop >= 0);
    if (!visible) {
      const at = shown.findIndex((i) => b.rows.has(wall.rows[i]));
      if (at >= 0) { list.scrollTop = Math.floor(at / columns) * (side + 4); paint(); }
    }
  }
  lightTiles();
});

view.part("instances.index", (data) => {
  index = data;
  names = new Map(Array.from(unpack(data.rows, Int32Array), (row, i) => [row, data.ids[i]]));
  place = new Int32Array(data.n).fill(-1);
  let at = 0;
  for (const row of unpack(data.held_out, Int32Array)) place[row] = at++;
  for (let row = 0; row < data.n; row++) if (place[row] < 0) place[row] = at++;
  arrange();
});
view.part("instances.ids", (data) => {
  ids = data.ids;
  if (sort === "name") arrange();
  else paint(true);
});
const share = (packed) => Float32Array.from(unpack(packed, Uint16Array), (v) => v / 65535);
view.part("instances.gallery", (data) => {
  wall = { rows: unpack(data.rows, Int32Array), teacher: share(data.teacher), student: share(data.student), codes: unpack(data.codes, Uint8Array) };
  values = null;
  for (const b of counts.children) {
    const id = b.dataset.choose;
    text(b.lastElementChild, fmt.count(id ? data.counts[id] : data.total));
    attr(b, "aria-label", `${id ? NAMES[id] : "all"}: ${id ? data.counts[id] : data.total}`);
  }
  text(captionLine, data.caption);
  captionLine.title = data.caption;
  scope.value = store.state.selection.scope || "";
  arrange();
  mark();
});
view.part("instances.values", (data) => {
  if (!wall) return;
  const rows = unpack(data.rows, Int32Array);
  values = { concepts: new Map(data.concepts.map((c, k) => [c, k])), rows: new Map(Array.from(rows, (r, i) => [r, i])), bytes: unpack(data.values.bytes, Uint8Array), low: data.values.low, high: data.values.high };
});

function mark() {
  const now = store.state.selection;
  for (const b of counts.children) {
    const on = (b.dataset.choose || null) === now.subset && !now.slice;
    attr(b, "aria-checked", on ? "true" : "false");
    attr(b, "tabindex", on || (now.slice && !b.dataset.choose) ? "0" : "-1");
  }
  for (const node of pool.values()) attr(node, "aria-selected", now.image !== null && node.getAttribute("data-image") === now.image ? "true" : "false");
  panel.hidden = !now.image && !opened;
  if (!now.image) { opened = null; panel.hidden = true; panel.removeAttribute("data-open-image"); }
}
store.on("select", mark);

// ---------------------------------------------------------------- one image, opened
const picture = h("img", { alt: "", draggable: "false" });
const overlay = h("canvas", { class: "evidence", "aria-hidden": "true" });
const stage = h("div", { class: "stage" }, picture, overlay);
const openTitle = h("div", { class: "open-title" }, h("b", { class: "cut", "data-name": "" }), h("span", { class: "probs" }));
const bars = h("div", { class: "contributions scroll", role: "list", "aria-label": "Contributions to the logit" });
const sum = h("p", { class: "logit-line" });
const evidenceLine = h("p", { class: "evidence-line muted" });
const close = ui.button("Close the image", { icon: "close", wide: false, kind: "quiet", onclick: () => store.select({ image: null }) });
const similar = ui.button("More like this", { icon: "grid", kind: "quiet", onclick: () => moreLike() });
const overrule = ui.button("Teacher is wrong…", { kind: "quiet", onclick: () => opened && window.inficond.shell.override(opened) });
panel.append(stage, h("div", { class: "open-side" }, h("div", { class: "open-head" }, openTitle, close), bars, sum), h("div", { class: "open-foot" }, evidenceLine, similar, overrule));
let evidenceOf = null;

view.part("instances.opened", (data) => {
  opened = data;
  evidenceOf = null;
  panel.hidden = !data;
  overrule.disabled = !data;
  if (!data) return panel.removeAttribute("data-open-image");
  panel.setAttribute("data-open-image", data.id);
  picture.src = data.url;
  picture.alt = data.id;
  text(openTitle.firstElementChild, data.id);
  openTitle.firstElementChild.title = data.id;
  text(openTitle.lastElementChild, `T ${fmt.percent(data.teacher)} · S ${fmt.percent(data.student)}${data.label === null ? "" : data.label ? " · label yes" : " · label no"}`);
  chart.contributions(bars, data.bars, contribution);
  chart.logit(sum, data.bars);
  showEvidence(data.first);
  mark();
});
function contribution() {
  const node = h("div", { role: "listitem" });
  const look = () => { const it = node.__item; if (it.kind === "concept") { showEvidence(it.name); store.hover(it.name); } };
  node.addEventListener("mouseenter", look);
  node.addEventListener("focus", look);
  node.addEventListener("mouseleave", () => store.hover(null));
  node.addEventListener("click", () => { if (node.__item.kind === "concept") store.toggleConcept(node.__item.name); });
  node.addEventListener("keydown", (e) => { if (e.key === "Enter" && node.__item.kind === "concept") store.toggleConcept(node.__item.name); });
  return node;
}

/** Lay a concept's evidence region over the picture: all else is veiled, its border drawn. */
function showEvidence(concept) {
  if (!opened) return;
  const found = concept && opened.evidence[concept];
  evidenceOf = found ? concept : null;
  text(evidenceLine, !found ? "no region shown" : found.score > 0 ? `“${concept}” most here: cosine ${fmt.num(found.score)}` : `“${concept}” not seen: cosine ${fmt.num(found.score)}`);
  evidenceLine.title = evidenceLine.textContent;
  for (const node of bars.children) node.classList.toggle("seen", node.__item.name === evidenceOf && node.__item.kind === "concept");
  drawEvidence();
}
function drawEvidence() {
  const found = evidenceOf && opened && opened.evidence[evidenceOf];
  const room = stage.getBoundingClientRect();
  const fit = Math.min(room.width / (picture.naturalWidth || 1), room.height / (picture.naturalHeight || 1));
  const w = Math.floor((picture.naturalWidth || 0) * fit), hgt = Math.floor((picture.naturalHeight || 0) * fit);
  picture.style.width = `${w}px`;
  picture.style.height = `${hgt}px`;
  chart.evidence(overlay, w, hgt, found && found.cells, opened ? opened.grid : null, opened ? opened.crop : null);
  overlay.style.left = `${picture.offsetLeft}px`;
  overlay.style.top = `${picture.offsetTop}px`;
  overlay.toggleAttribute("data-on", Boolean(found));
}
picture.addEventListener("load", drawEvidence);
new ResizeObserver(dom.perFrame(drawEvidence)).observe(stage);
store.on("hover", (concept) => {
  if (opened && concept && opened.evidence[concept]) showEvidence(concept);
  for (const node of bars.children) node.classList.toggle("hovered", node.__item.kind === "concept" && node.__item.name === concept);
});

async function moreLike() {
  // The selection, not what is drawn: the image may still be on its way.
  const image = store.state.selection.image;
  if (!image) return;
  const answer = await store.call("similar", { image });
  if (!answer.rows) return;
  const set = new Set(answer.rows);
  const strip = h("div", { class: "similar-grid" }, answer.rows.map((row) => {
    const node = h("button", { type: "button", class: "tile still", "aria-label": nameOf(row) });
    const k = place[row] % index.per_sheet;
    node.__sheet = Math.floor(place[row] / index.per_sheet);
    dress(node, node.__sheet);
    node.style.backgroundSize = `${index.columns * 96}px auto`;
    node.style.backgroundPosition = `-${(k % index.columns) * 96}px -${Math.floor(k / index.columns) * 96}px`;
    node.addEventListener("click", () => { box.close(); store.select({ image: nameOf(row) }); });
    return node;
  }));
  const box = ui.dialog(`Images most like ${image}`, [h("p", { class: "muted" }, "Nearest by their concepts, nearest first. Choose one to open it."), strip], { wide: true });
  store.emit("hover-image", null);
  return set;
}
chart.offer("contributions", () => {
  const list = opened ? opened.bars : [];
  const svg = s("svg", { viewBox: `0 0 560 ${24 * list.length + 44}`, width: 560, height: 24 * list.length + 44 });
  svg.append(s("text", { x: 10, y: 20, "font-size": 13, "font-weight": 600 }, opened ? `${opened.id}: contributions to “${store.state.selection.cls}”` : "open an image first"));
  const top = Math.max(0.1, ...list.map((b) => Math.abs(b.value)));
  list.forEach((b, i) => {
    const y = 34 + 24 * i;
    const w = (140 * Math.abs(b.value)) / top;
    svg.append(s("text", { x: 10, y: y + 13, "font-size": 12 }, b.name.slice(0, 28)), s("rect", { x: b.value < 0 ? 350 - w : 350, y: y + 2, width: w, height: 14, fill: ui.colour(b.value < 0 ? "neg" : "pos") }), s("text", { x: 552, y: y + 13, "font-size": 12, "text-anchor": "end" }, fmt.signed(b.value)));
  });
  return svg;
});
