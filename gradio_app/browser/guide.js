/* The guided scenario: see where the student fails, see why, tune, see it improve, export. About two minutes, and it
   can be left at any step. Every step waits for what the person does on the page itself; "Next" does it for them. */
(() => {
  const app = window.inficond;
  const { h, s, text } = app.dom;
  const { ui, store } = app;
  const $ = (selector) => document.querySelector(selector);

  const slicesOf = () => (store.state.parts["performance.slices"] || { slices: [] }).slices;
  const ideasOf = () => (store.state.parts["tuning.suggestions"] || { suggestions: [] }).suggestions;
  const isTuned = () => { const t = store.state.parts["provenance.tree"]; return t && t.can_undo; };
  const table = () => (store.state.parts["performance.table"] || { classes: [] }).classes;
  /** The demo has a story of its own; elsewhere it is the selected class, and what it does wrong more often. */
  const story = () => {
    const known = table().find((c) => store.state.info.demo && c.name === "water bird");
    if (known) return { cls: known.name, subset: "extra", demo: true };
    const line = table().find((c) => c.name === store.state.selection.cls);
    return { cls: line.name, subset: line.counts.missed > line.counts.extra ? "missed" : "extra", demo: false };
  };

  /** Each step: where to look, what to say, when it is done, and what "Next" does. */
  function steps() {
    const { cls, subset, demo } = story();
    const extra = subset === "extra";
    const row = `#view-performance [data-class="${CSS.escape(cls)}"]`;
    return [
      { at: "#view-performance", title: "A student imitates a teacher",
        say: ["Each line is a class: a small model of words that imitates a large classifier. The bar says how well it follows; grey is where both agree, magenta and gold where they part."],
        ask: "Look at the lines, then go on.", next: () => {} },
      { at: row, title: "Here it fails",
        say: [demo ? `The student of “${cls}” follows its teacher badly. Let us see why.` : `The student of “${cls}” parts from its teacher most often. Let us see why.`],
        ask: `Click “${cls}”.`, done: () => store.state.selection.cls === cls && (touched("cls") || touched("click")), next: () => store.select({ cls, subset: null, slice: null }) },
      { at: `${row} [data-subset="${subset}"]`, title: extra ? "It says yes where the teacher says no" : "It misses what the teacher sees",
        say: [extra ? "Gold are the extra images: the student says yes, the teacher no. Click the colour to see only those." : "Magenta are the missed images: the teacher says yes, the student no. Click the colour to see only those."],
        ask: `Click the ${extra ? "gold" : "magenta"} part of the bar.`, done: () => store.state.selection.subset === subset, next: () => store.select({ cls, subset }) },
      { at: "#view-instances", title: "Look at the pictures",
        say: ["What do these images have in common? Open one: the bars add up to the student's answer, and the lit region is where it looked."],
        ask: "Click an image.", done: () => Boolean(store.state.selection.image), next: () => { const tile = $("#view-instances .tile"); if (tile) tile.click(); } },
      { at: "#view-influence", title: demo ? "The student reads the scenery" : "What the student reads",
        say: ["These are its words, the weightiest first. Point at one and the images that show it light up. A word that belongs to the place and not to the thing is a shortcut."],
        ask: "Point at a few words.", done: () => pointed > 10, next: () => {} },
      { at: "#view-tuning .ideas", title: "Correct it",
        say: ["The solver's own sensitivities say which few actions would help most. A click shows what one would do: nothing is changed yet."],
        ask: "Click the first suggestion, or drag sliders of your own.", ready: () => ideasOf().length > 0, done: () => store.state.pending.length > 0,
        next: () => { const idea = ideasOf()[0]; if (idea) store.proposeAll(idea.actions); } },
      { at: "#view-tuning .effect", title: "See what it would do",
        say: ["Before → after on images that no fit has seen, with the 95 % interval of the difference. What is not clear is said not to be."],
        ask: "Try to drag a slider as well, then press Apply.", done: () => isTuned(), next: () => store.apply() },
      { at: "#view-provenance", title: "Nothing is lost",
        say: ["Each step is kept with what it changed. Ctrl+Z takes it back; a click goes anywhere in the tree."],
        ask: "Go on when you have looked.", next: () => {} },
      { at: "#shell .menu", title: "Take it with you",
        say: ["The corrected student leaves as one ONNX file, pixels in and probabilities out; “inficond predict” runs it."],
        ask: "Export the student as ONNX.", done: () => touched("exported"), next: () => app.shell.exportFile("onnx") },
    ];
  }

  let card = null;
  let spot = null;
  let at = 0;
  let list = [];
  let seen = new Set();
  let pointed = 0; // quarters of a second with the mouse on a word: passing over one is not looking at it
  const touched = (what) => seen.has(what);
  let tick = null;

  function start() {
    stop();
    ui.keep.set("guided", "yes");
    list = steps();
    at = 0;
    spot = h("div", { class: "inf-spot", "aria-hidden": "true" });
    card = h("section", { class: "inf-guide", role: "dialog", "aria-modal": "false", "aria-labelledby": "guide-title", tabindex: "-1" });
    document.body.append(spot, card);
    tick = setInterval(check, 250);
    show();
  }

  function stop() {
    clearInterval(tick);
    if (card) { card.remove(); spot.remove(); card = spot = null; }
  }

  function show() {
    const step = list[at];
    seen = new Set();
    pointed = 0;
    const last = at === list.length - 1;
    card.replaceChildren(
      h("p", { class: "guide-count" }, `Step ${at + 1} of ${list.length}`),
      h("h2", { id: "guide-title" }, step.title),
      ...step.say.map((line) => h("p", {}, line)),
      h("p", { class: "guide-ask" }, step.ask),
      h("div", { class: "guide-foot" },
        ui.button(last ? "End the guide" : "Skip the guide", { kind: "quiet", onclick: stop }),
        at > 0 ? ui.button("Back", { onclick: () => { at--; show(); } }) : null,
        ui.button(last ? "Export" : "Next", { kind: "primary", onclick: () => { if (step.done && !step.done()) step.next(); else if (!step.done) step.next(); if (!last) go(); } })));
    card.dataset.step = at + 1;
    place();
    card.focus({ preventScroll: true });
  }

  function go() {
    if (at >= list.length - 1) return finish();
    at++;
    show();
  }

  function finish() {
    card.replaceChildren(h("h2", { id: "guide-title" }, "That was all"), h("p", {}, "You found where a student fails, saw why, corrected it, and took it along. Open a project of your own with “New project”, or run “inficond distill PHOTOS --out DIR”."),
      h("div", { class: "guide-foot" }, ui.button("Close", { kind: "primary", onclick: stop })));
    spot.hidden = true;
    clearInterval(tick);
  }

  function check() {
    if (!card) return;
    if (store.state.hover) pointed++;
    place();
    const step = list[at];
    if (step.done && step.done() && !$("dialog[open]")) setTimeout(() => { if (card && list[at] === step) go(); }, 650);
  }

  /** The card beside what it speaks of, never over it where there is room, always inside the window. */
  function place() {
    const step = list[at];
    const target = (step.at && $(step.at)) || $("#board");
    const view = target.closest(".view") || target;
    if (innerWidth < 1000) target.scrollIntoView({ block: "nearest" });
    const r = target.getBoundingClientRect();
    const v = view.getBoundingClientRect();
    Object.assign(spot.style, { left: `${r.left - 4}px`, top: `${r.top - 4}px`, width: `${r.width + 8}px`, height: `${r.height + 8}px` });
    const c = card.getBoundingClientRect();
    const room = 12;
    let left = v.right + room;
    if (left + c.width > innerWidth - 8) left = v.left - c.width - room;
    const opened = target.querySelector(".menu-list");
    if (opened) left = r.right - Math.max(270, opened.offsetWidth) - c.width - room; // the open menu stays free
    let top = r.top;
    if (left < 8) {
      left = Math.max(8, Math.min(r.left, innerWidth - c.width - 8));
      top = r.bottom + room + c.height < innerHeight ? r.bottom + room : r.top - c.height - room;
    }
    top = Math.max(52, Math.min(top, innerHeight - c.height - 8));
    card.style.left = `${Math.max(8, left)}px`;
    card.style.top = `${top}px`;
  }
  document.addEventListener("click", (e) => {
    if (card && list[at] && list[at].at && e.target.closest(list[at].at)) seen.add("click");
  });
  addEventListener("resize", () => { if (card) place(); });
  document.addEventListener("keydown", (e) => { if (e.key === "Enter" && card && e.target === card) card.querySelector(".button.primary").click(); });
  document.addEventListener("keydown", (e) => { if (e.key === "Escape" && card && card.contains(document.activeElement)) stop(); });

  /** On the first visit to the demo: one line that offers the guide. */
  function offer() {
    ui.keep.set("guided", "offered");
    ui.say("New here? The guide takes two minutes.", "", ["Start the guide", start]);
  }

  store.on("select", ({ changed }) => { for (const c of changed) seen.add(c); });
  store.on("exported", () => seen.add("exported"));

  app.guide = { start, stop, offer };
})();
