// 2 Student performance: one line a class; how well the student follows its teacher, and where it does not.
const { store, ui, dom, chart } = window.inficond;
const { h, s, attr, text, keyed, fmt } = dom;
const SUBSETS = [["agree-pos", "both yes"], ["agree-neg", "both no"], ["missed", "missed"], ["extra", "extra"]];
const ORDER = ["agree-pos", "missed", "extra", "agree-neg"];
const MEASURES = { ap: "average precision", balanced_agreement: "balanced agreement", f1: "F1" };
const SHORT = { ap: "AP", balanced_agreement: "bal.", f1: "F1" };
let measure = ui.keep.get("measure") in MEASURES ? ui.keep.get("measure") : "ap";
let table = null;
const last = (x) => (x === null || x === undefined ? 2 : x); // nothing known: behind all that is
const ORDERS = { // what a click on a column's heading puts first; the project's own order where there is nothing to compare
  class: null,
  fidelity: (a, b) => last(a[measure].value) - last(b[measure].value),
  accuracy: (a, b) => last(a.truth && a.truth.student) - last(b.truth && b.truth.student),
  NEC: (a, b) => b.nec - a.nec,
  images: (a, b) => b.counts.missed + b.counts.extra - a.counts.missed - a.counts.extra,
};
let order = ui.keep.get("classes-order") in ORDERS ? ui.keep.get("classes-order") : "class";

const legend = h("div", { class: "legend" }, SUBSETS.map(([id, label]) => h("span", { class: "key" }, h("i", { class: `fill-${id}` }), ui.term(id, label))));
const head = h("div", { class: "perf-head", role: "group", "aria-label": "Order of the classes" });
const rows = h("div", { class: "perf-rows scroll", role: "grid", "aria-label": "Classes" });
const slices = h("div", { class: "slices" });
view.body.append(legend, head, rows, slices);
view.tools.append(ui.segmented(Object.entries(SHORT).map(([id, short]) => [id, short, { "data-tip": `Fidelity as ${MEASURES[id]}` }]), measure, (m) => { measure = m; ui.keep.set("measure", m); if (table) draw(table); }, "Measure of fidelity"));
dom.roving(rows, ".perf-row");

function create(c) {
  const row = h("div", { class: "perf-row", role: "row", "data-class": c.name },
    h("span", { class: "perf-name", role: "gridcell", "data-name": "" }),
    h("span", { class: "perf-fid", role: "gridcell" }, h("span", { class: "track" }, h("i", { class: "level" }), h("i", { class: "interval" })), h("b", {})),
    h("span", { class: "perf-acc", role: "gridcell" }),
    h("span", { class: "perf-nec", role: "gridcell" }),
    h("span", { class: "stack", role: "gridcell" }, ORDER.map((id) => h("button", { type: "button", tabindex: "-1", class: `fill-${id}`, "data-subset": id }))));
  row.addEventListener("click", (event) => {
    const part = event.target.closest("[data-subset]");
    const name = row.__item.name;
    if (part) pick(name, part.dataset.subset);
    else store.select({ cls: name, subset: null, slice: null });
  });
  row.addEventListener("keydown", (event) => {
    if (event.target !== row && event.key !== "Escape" && !event.key.startsWith("Arrow")) return;
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); store.select({ cls: row.__item.name, subset: null, slice: null }); }
    else if (event.key === "ArrowRight" || event.key === "ArrowLeft") {
      event.preventDefault();
      const parts = [...row.querySelectorAll("[data-subset]")].filter((b) => !b.hidden);
      const i = parts.indexOf(document.activeElement);
      const to = i + (event.key === "ArrowRight" ? 1 : -1);
      (to < 0 ? row : parts[Math.min(to, parts.length - 1)]).focus();
    } else if (event.key === "Escape") row.focus();
  });
  return row;
}

function pick(cls, subset) {
  const now = store.state.selection;
  store.select({ cls, subset: now.cls === cls && now.subset === subset ? null : subset, slice: null });
}

function update(row, c) {
  const [name, fid, acc, nec, stack] = row.children;
  text(name, c.name);
  name.title = c.name;
  const m = c[measure];
  const track = fid.firstElementChild;
  track.children[0].style.width = `${100 * Math.max(0, Math.min(1, m.value || 0))}%`;
  const sure = m.low !== null && m.high !== null && m.low !== undefined;
  track.children[1].hidden = !sure;
  if (sure) {
    track.children[1].style.left = `${100 * m.low}%`;
    track.children[1].style.width = `${100 * Math.max(0, m.high - m.low)}%`;
  }
  text(fid.lastElementChild, fmt.share(m.value));
  fid.dataset.tip = m.value === null || m.value === undefined ? "Fidelity: nothing to rank, the teacher says yes to no held-out image" : `Fidelity, ${MEASURES[measure]} to the teacher: ${fmt.num(m.value, 3)}${sure ? `, 95 % interval ${fmt.num(m.low)} to ${fmt.num(m.high)}` : ""}`;
  text(acc, c.truth ? `${fmt.share(c.truth.teacher)} · ${fmt.share(c.truth.student)}` : "");
  acc.hidden = !table.labelled;
  if (c.truth) acc.dataset.tip = `Accuracy, average precision against the labels: teacher ${fmt.num(c.truth.teacher, 3)}, student ${fmt.num(c.truth.student, 3)}`;
  text(nec, c.nec);
  nec.dataset.tip = `${c.nec} concept${c.nec === 1 ? "" : "s"} with a weight`;
  const total = ORDER.reduce((sum, id) => sum + c.counts[id], 0) || 1;
  for (const part of stack.children) {
    const id = part.dataset.subset;
    const n = c.counts[id];
    part.hidden = n === 0;
    part.style.flexGrow = Math.sqrt(n / total); // areas by the square root: the few that differ stay clickable
    const label = `${c.name}: ${n} ${SUBSETS.find(([k]) => k === id)[1]}`;
    attr(part, "aria-label", label);
    part.dataset.tip = `${n} of ${total} images: ${SUBSETS.find(([k]) => k === id)[1]}`;
  }
  row.setAttribute("aria-label", `${c.name}: ${MEASURES[measure]} ${fmt.num(m.value)}, ${c.counts.missed} missed, ${c.counts.extra} extra, ${c.nec} concept${c.nec === 1 ? "" : "s"}`);
}

function mark() {
  const now = store.state.selection;
  for (const row of rows.children) {
    const on = row.__key === now.cls;
    attr(row, "aria-selected", on ? "true" : "false");
    for (const part of row.querySelectorAll("[data-subset]")) attr(part, "aria-pressed", on && part.dataset.subset === now.subset ? "true" : "false");
    if (on && rows.scrollHeight > rows.clientHeight) row.scrollIntoView({ block: "nearest" });
  }
  dom.tabStop(rows.children, (row) => row.getAttribute("aria-selected") === "true");
  for (const button of slices.querySelectorAll("[data-slice]")) attr(button, "aria-pressed", button.dataset.slice === now.slice ? "true" : "false");
}

function draw(data) {
  table = data;
  view.root.classList.toggle("labelled", data.labelled);
  keyed(head, [["class", "class", "own order"], ["fidelity", `fidelity (${SHORT[measure]})`, "fidelity"], ...(data.labelled ? [["accuracy", "acc. T · S", "accuracy"]] : []), ["NEC", "NEC", "NEC"], ["images", "images", "subsets"]], (c) => c[0], ([id, , term]) =>
    h("button", { type: "button", class: `perf-${id}`, "data-term": term, onclick: () => { order = id; ui.keep.set("classes-order", id); draw(table); } }), (node, [id, shown]) => {
    text(node, shown);
    attr(node, "aria-pressed", id === order ? "true" : "false");
    attr(node, "aria-label", `Order by ${id}`);
  });
  keyed(rows, ORDERS[order] ? [...data.classes].sort(ORDERS[order]) : data.classes, (c) => c.name, create, update);
  mark();
}
view.part("performance.table", draw);

view.part("performance.slices", (data) => {
  const list = data.slices;
  slices.replaceChildren(
    h("h3", {}, ui.term("slice", "Slices"), h("span", { class: "muted cut" }, " that go wrong together"), list.length ? h("span", { class: "muted right" }, "images, agreement") : null),
    list.length
      ? h("div", { class: "slice-list scroll" }, list.map((found) => h("button", {
          type: "button", class: "slice", "data-slice": found.id, "aria-pressed": "false",
          "data-tip": found.text, onclick: () => store.select({ slice: store.state.selection.slice === found.id ? null : found.id, subset: null }) },
          h("i", { class: `dot fill-${found.side}` }), h("span", { class: "cut", "data-name": "" }, found.short), h("span", { class: "muted" }, `${found.size}`), h("b", {}, `${fmt.percent(found.agreement)}`), h("span", { class: "muted" }, `vs ${fmt.percent(found.rest)}`))))
      : h("p", { class: "muted none" }, "No group of misaligned images stands out."));
  mark();
});
store.on("select", mark);
const markKept = () => { for (const row of rows.children) attr(row.firstElementChild, "data-kept", store.state.kept.has(row.__key) ? "changes not applied" : null); };
store.on("pending", markKept);
store.on("select", markKept);

chart.offer("student performance", () => {
  const height = 26 * table.classes.length + 74;
  const svg = s("svg", { viewBox: `0 0 640 ${height}`, width: 640, height });
  svg.append(chart.heading("How well each student follows its teacher, on held-out images", [[10, "class"], [180, `fidelity (${MEASURES[measure]}), 95 % interval`], [400, "images, lengths are square roots"]], ORDER.map((id) => [id, SUBSETS.find(([k]) => k === id)[1]])));
  table.classes.forEach((c, i) => {
    const y = 66 + 26 * i;
    const m = c[measure];
    svg.append(s("text", { x: 10, y: y + 13, "font-size": 12 }, c.name.slice(0, 24)));
    svg.append(s("rect", { x: 180, y: y + 2, width: 160, height: 14, fill: ui.colour("raise") }), s("rect", { x: 180, y: y + 2, width: 160 * (m.value || 0), height: 14, fill: ui.colour("accent"), "fill-opacity": 0.72 }));
    if (m.low !== null && m.low !== undefined && m.high !== null) svg.append(s("rect", { x: 180 + 160 * m.low, y: y + 8, width: 160 * Math.max(0, m.high - m.low), height: 2, fill: ui.colour("ink") }));
    svg.append(s("text", { x: 348, y: y + 13, "font-size": 12 }, fmt.num(m.value)));
    const total = ORDER.reduce((sum, id) => sum + Math.sqrt(c.counts[id]), 0) || 1;
    let x = 400;
    for (const id of ORDER) {
      const w = (230 * Math.sqrt(c.counts[id])) / total;
      svg.append(s("rect", { x, y: y + 2, width: w, height: 14, fill: ui.colour(id) }));
      x += w;
    }
  });
  return svg;
});
