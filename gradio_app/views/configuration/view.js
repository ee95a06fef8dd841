// 1 Configuration: what is being looked at, and the two things a person brings: a word, a picture of their own.
const { store, ui, dom } = window.inficond;
const { h, s, text, keyed, fmt } = dom;

const facts = h("dl", { class: "facts" });
const bars = h("div", { class: "class-bars", role: "img" });
const barsTitle = h("p", { class: "muted bars-title" });
const word = h("input", { type: "text", placeholder: "add a concept", "aria-label": "Add a concept by typing a word", maxlength: 80, autocomplete: "off" });
const add = h("form", { class: "add-word" }, word, ui.button("Add", { icon: "plus", type: "submit" }));
add.querySelector("button").type = "submit";
const added = h("div", { class: "added" });
const picker = h("input", { type: "file", accept: "image/*", class: "seen-by-readers", "aria-label": "Choose your own image", tabindex: "-1" });
const drop = h("button", { type: "button", class: "drop", "aria-label": "Try your own image: choose a file, or drop one anywhere on the page", "data-tip": "See what teacher and student say of an image of your own: choose one, or drop it anywhere on the page." }, ui.icon("image"), h("span", {}, "Try an image"));
view.body.append(facts, h("div", { class: "bars-box" }, barsTitle, bars), h("div", { class: "bring" }, h("div", { class: "bring-row" }, add, drop), added, picker));

const chooser = h("select", { "aria-label": "Project", class: "chooser" });
chooser.addEventListener("change", () => window.inficond.shell.openProject(chooser.value));
view.tools.append(chooser, ui.button("Settings", { icon: "gear", wide: false, kind: "quiet", onclick: () => window.inficond.shell.settings() }));

add.addEventListener("submit", async (event) => {
  event.preventDefault();
  const asked = word.value.trim();
  if (!asked) return;
  add.toggleAttribute("data-busy", true);
  const answer = await store.act("add_concept", { word: asked });
  add.removeAttribute("data-busy");
  if (answer && !answer.error) {
    word.value = "";
    store.select({ concepts: [...store.state.selection.concepts.filter((c) => c !== answer.concept), answer.concept] });
  }
});

async function own(file) {
  if (!file) return;
  drop.setAttribute("data-busy", "");
  text(drop.lastElementChild, "Looking…");
  await window.inficond.shell.tryImage(file);
  text(drop.lastElementChild, "Try an image");
  drop.removeAttribute("data-busy");
  picker.value = "";
}
drop.addEventListener("click", () => picker.click());
picker.addEventListener("change", () => own(picker.files[0]));
for (const type of ["dragover", "drop"])
  document.addEventListener(type, (event) => {
    if (![...(event.dataTransfer ? event.dataTransfer.types : [])].includes("Files")) return;
    if (event.target.closest("dialog")) return;
    event.preventDefault();
    dropping(type === "dragover");
    if (type === "drop") own(event.dataTransfer.files[0]);
  });
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) dropping(false); });
function dropping(on) {
  drop.toggleAttribute("data-over", on);
  document.body.classList.toggle("dropping", on);
}

view.part("configuration.facts", (data) => {
  keyed(facts, data.facts, (f) => f.label, (f) => h("div", {}, h("dt", {}, f.term ? ui.term(f.term, f.label) : f.label), h("dd", { class: "cut" })), (node, f) => {
    const dd = node.lastElementChild;
    text(dd, f.value);
    dd.title = f.more || f.value;
  });
  text(barsTitle, data.bars_title);
  const top = Math.max(1, ...data.bars.map((b) => b.n));
  bars.setAttribute("aria-label", `${data.bars_title}: ${data.bars.map((b) => `${b.name} ${b.n}`).join(", ")}`);
  keyed(bars, data.bars, (b) => b.name, () => h("i", {}), (node, b) => {
    node.style.height = `${Math.max(6, (100 * b.n) / top)}%`;
    node.dataset.tip = `${b.name}: ${fmt.count(b.n)}`;
    node.classList.toggle("on", b.name === store.state.selection.cls);
    node.onclick = () => store.select({ cls: b.name });
  });
  keyed(added, data.added, (w) => w, (w) => h("span", { class: "chip" }, h("span", { class: "cut", "data-name": "" }), h("button", { type: "button", class: "chip-x", "aria-label": `Drop ${w}` }, ui.icon("close"))), (node, w) => {
    text(node.firstElementChild, w);
    node.lastElementChild.onclick = () => store.act("drop_concept", { concept: w });
  });
  keyed(chooser, data.projects, (p) => p.key, (p) => h("option", { value: p.key }), (node, p) => text(node, p.name));
  chooser.title = data.name;
  chooser.value = data.project;
});
window.inficond.chart.offer("images per class", () => {
  const { bars: list, bars_title: title } = store.state.parts["configuration.facts"];
  const svg = s("svg", { viewBox: `0 0 560 ${24 * list.length + 44}`, width: 560, height: 24 * list.length + 44 }, s("text", { x: 10, y: 20, "font-size": 13, "font-weight": 600 }, title));
  const top = Math.max(1, ...list.map((b) => b.n));
  list.forEach((b, i) => {
    const y = 34 + 24 * i;
    svg.append(s("text", { x: 10, y: y + 13, "font-size": 12 }, b.name.slice(0, 32)), s("rect", { x: 230, y: y + 2, width: (270 * b.n) / top, height: 14, fill: ui.colour("agree-pos") }), s("text", { x: 236 + (270 * b.n) / top, y: y + 13, "font-size": 11 }, fmt.count(b.n)));
  });
  return svg;
});
store.on("select", () => {
  for (const bar of bars.children) bar.classList.toggle("on", bar.__key === store.state.selection.cls);
});
