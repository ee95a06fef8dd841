// 6 Provenance: every step of the tuning as a tree, newest above; go anywhere in it, compare, take it along.
const { store, ui, dom } = window.inficond;
const { h, s, attr, text, keyed, fmt } = dom;
let data = null;
let changes = {}; // node -> whether its change is clear; known a moment after the tree
let comparing = null; // null, or the ids chosen so far

const undo = ui.button("Undo", { icon: "undo", title: "Undo (Ctrl+Z)", onclick: () => store.act("undo") });
const redo = ui.button("Redo", { icon: "redo", title: "Redo (Ctrl+Shift+Z)", onclick: () => store.act("redo") });
const compare = ui.button("Compare", { icon: "compare", wide: false, "aria-pressed": "false", title: "Compare two steps", onclick: () => setComparing(comparing ? null : []) });
const recipe = ui.button("Recipe", { icon: "export", wide: false, title: "Take the steps along as a recipe", onclick: () => window.inficond.shell.exportFile("recipe") });
view.tools.append(undo, redo, compare, recipe);

const hint = h("p", { class: "compare-hint muted", hidden: true, role: "status" });
const list = h("div", { class: "prov-rows scroll", role: "list", "aria-label": "Steps" });
view.body.append(hint, list);
dom.roving(list, ".prov-row > button.prov-go");

const LANE = 14;
const HEIGHT = 30;

function create(node) {
  const row = h("div", { class: "prov-row", role: "listitem", "data-node": node.id },
    s("svg", { class: "graph", height: HEIGHT, "aria-hidden": "true" }),
    h("button", { type: "button", class: "prov-go" }, h("span", { class: "prov-text" }, h("span", { class: "cut", "data-name": "" }), h("small", { class: "cut" })), h("b", { class: "prov-mark" }), h("span", { class: "prov-gain" })),
    ui.button("Name this step", { icon: "pencil", wide: false, kind: "quiet small", onclick: () => rename(row.__item) }));
  row.children[1].addEventListener("click", () => (comparing ? choose(row.__item.id) : row.__item.id === data.current ? null : store.act("checkout", { node: row.__item.id })));
  return row;
}

function update(row, node) {
  const [graph, go] = row.children;
  const [words, marked, gain] = go.children;
  text(words.children[0], node.name || node.text);
  const when = node.when && new Date(node.when); // told in UTC, shown in the person's own time
  const more = when ? `${node.more} · ${when.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" })}` : node.more;
  text(words.children[1], more);
  words.title = when ? `${node.text}\n${when.toLocaleString()}` : node.text;
  text(marked, comparing && comparing.includes(node.id) ? "AB"[comparing.indexOf(node.id)] : "");
  text(gain, node.gain);
  const sure = changes[node.id];
  gain.className = `prov-gain ${sure && sure.clear ? (sure.better ? "good" : "bad") : "muted"}`;
  gain.dataset.tip = (sure && sure.more) || node.gain_more || "";
  attr(row, "aria-current", node.id === data.current ? "true" : null);
  attr(go, "aria-label", `${node.name || node.text}. ${more}. ${(changes[node.id] && changes[node.id].more) || node.gain_more || node.gain || ""}${node.id === data.current ? " The current step." : ""}`);
  row.classList.toggle("aside", !node.on_branch);
  attr(graph, "width", data.lanes * LANE + 6);
  graph.replaceChildren(...unlitFirst(node).map(([from, to, kind, lit]) => s("path", { d: edge(from, to, kind), class: lit ? "on" : "" })),
    s("circle", { cx: node.lane * LANE + 9, cy: HEIGHT / 2, r: node.id === data.current ? 5.5 : 4, class: node.id === data.current ? "here" : node.on_branch ? "on" : "" }));
}

/** The lines that lead to where the person stands lie over the others. */
const unlitFirst = (node) => [...node.edges].sort((a, b) => a[3] - b[3]);

/** Lines within one row: "through" passes by, "up" leaves the dot upwards, "down" goes down from it to its parent. */
function edge(from, to, kind) {
  const x = from * LANE + 9, X = to * LANE + 9, m = HEIGHT / 2;
  if (kind === "through") return `M${x} 0V${HEIGHT}`;
  if (kind === "up") return `M${x} 0V${m}`;
  if (from === to) return `M${x} ${m}V${HEIGHT}`;
  return `M${x} 0C${x} ${m},${X} ${m - 8},${X} ${m}`; // a branch that joins its parent's dot here
}

function draw(now) {
  data = now;
  undo.disabled = !data.can_undo;
  redo.disabled = !data.can_redo;
  compare.disabled = data.nodes.length < 2;
  keyed(list, data.nodes, (n) => n.id, create, update);
  dom.tabStop(list.querySelectorAll("button.prov-go"), (b) => b.parentElement.getAttribute("aria-current") === "true");
  const here = list.querySelector('[aria-current="true"]');
  if (here && list.scrollHeight > list.clientHeight) here.scrollIntoView({ block: "nearest" });
}
view.part("provenance.tree", draw);
view.part("provenance.changes", (now) => { changes = now.changes; if (data) draw(data); });
store.on("acting", (on) => { for (const b of [undo, redo]) b.toggleAttribute("data-busy", on); });

window.inficond.chart.offer("provenance", () => {
  const rows = data.nodes, left = data.lanes * LANE + 20;
  const svg = s("svg", { viewBox: `0 0 640 ${HEIGHT * rows.length + 40}`, width: 640, height: HEIGHT * rows.length + 40 }, s("text", { x: 10, y: 20, "font-size": 13, "font-weight": 600 }, "Steps of the tuning, newest above"));
  rows.forEach((node, i) => {
    const at = s("g", { transform: `translate(8 ${30 + HEIGHT * i})` }, unlitFirst(node).map(([from, to, kind, lit]) => s("path", { d: edge(from, to, kind), fill: "none", stroke: ui.colour(lit ? "ink" : "edge"), "stroke-width": 1.5 })),
      s("circle", { cx: node.lane * LANE + 9, cy: HEIGHT / 2, r: 4.5, fill: ui.colour(node.id === data.current ? "accent" : "panel"), stroke: ui.colour(node.on_branch ? "ink" : "edge"), "stroke-width": 1.8 }),
      s("text", { x: left, y: HEIGHT / 2 + 4, "font-size": 12 }, (node.name || node.text).slice(0, 62)), s("text", { x: 620, y: HEIGHT / 2 + 4, "font-size": 11, "text-anchor": "end" }, node.gain));
    svg.append(at);
  });
  return svg;
});

function rename(node) {
  const input = h("input", { type: "text", value: node.name || "", maxlength: 120, "aria-label": "Name of the step" });
  const form = h("form", { class: "stack-form" }, h("label", { class: "field" }, `A name for “${node.text}”`, input));
  const box = ui.dialog("Name this step", form, { buttons: [ui.button("Save", { kind: "primary", onclick: () => form.requestSubmit() })] });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    box.close();
    await store.act("rename", { node: node.id, text: input.value.trim() });
  });
  input.focus();
}

// ---------------------------------------------------------------- comparing two steps
function setComparing(chosen) {
  comparing = chosen;
  attr(compare, "aria-pressed", chosen ? "true" : "false");
  hint.hidden = !chosen;
  text(hint, chosen ? (chosen.length ? "Now choose step B." : "Choose step A.") : "");
  if (data) draw(data);
}
async function choose(id) {
  if (comparing.includes(id)) return setComparing(comparing.filter((n) => n !== id));
  setComparing([...comparing, id]);
  if (comparing.length < 2) return;
  const [a, b] = comparing;
  const answer = await store.call("compare", { a, b, cls: store.state.selection.cls });
  setComparing(null);
  if (answer.compare) show(answer.compare);
}
function show(c) {
  const { table } = window.inficond.shell;
  const rows = (list) => list.map((cells) => ({ cells }));
  const told = (m) => (m.count ? "images" : m.clear ? `${m.delta} ${m.range}` : "no clear change");
  ui.dialog("Two steps compared", [
    h("p", { class: "compared" }, h("b", { class: "prov-mark" }, "A"), h("span", { "data-name": "" }, c.a), h("b", { class: "prov-mark" }, "B"), h("span", { "data-name": "" }, c.b)),
    ...(c.metrics.length ? [h("h3", {}, `Held-out images of “${c.cls}”`), table(["measure", "A", "B", "change, 95 % interval"], rows(c.metrics.map((m) => [m.label, m.before, m.after, told(m)]))), h("p", { class: "muted" }, c.moved)] : [h("p", { class: "muted" }, "No measure moved.")]),
    h("h3", {}, c.n_weights > c.weights.length ? `Weights that differ most (${c.weights.length} of ${c.n_weights})` : "Weights that differ"),
    c.weights.length ? table(["concept", "A", "B", "change", "class"], rows(c.weights.map((w) => [w.concept, fmt.signed(w.before), fmt.signed(w.after), fmt.signed(w.change), w.cls]))) : h("p", { class: "muted" }, "None."),
  ], { wide: true });
}
