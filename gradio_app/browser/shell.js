/* The top bar and what it opens: the summary, settings, one's own image, export, a new project. */
(() => {
  const app = window.inficond;
  const { h, s, text, attr, keyed, fmt } = app.dom;
  const { ui, store } = app;

  function mark() {
    return s("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" }, s("rect", { width: 24, height: 24, rx: 6, fill: "var(--accent)" }),
      s("path", { d: "M6 17V9M12 17V6M18 17v-5", stroke: "var(--accent-ink)", "stroke-width": 2.6, "stroke-linecap": "round" }));
  }

  function menu(label, icon, items) {
    const list = h("div", { class: "menu-list", role: "menu", hidden: true, "aria-label": label });
    const opener = ui.button(label, { icon, "aria-haspopup": "menu", "aria-expanded": "false", onclick: () => toggle(list.hidden) });
    const toggle = (open) => {
      list.hidden = !open;
      attr(opener, "aria-expanded", open ? "true" : "false");
      if (!open) return;
      list.replaceChildren(...items().map((it) => (it === "-" ? h("hr", { role: "separator" }) : it instanceof Node ? it : h("button", { type: "button", role: "menuitem", onclick: () => { node.close(); it[2](); } }, it[0], it[1] ? h("small", {}, it[1]) : null))));
      list.querySelector("button").focus();
    };
    app.dom.roving(list, "button");
    const node = h("div", { class: "menu" }, opener, list);
    node.addEventListener("keydown", (e) => { if (e.key === "Escape" && !list.hidden) { toggle(false); opener.focus(); } });
    document.addEventListener("pointerdown", (e) => { if (!node.contains(e.target)) toggle(false); });
    node.close = () => { toggle(false); opener.focus(); };
    return node;
  }

  function start(element, server, upload, props) {
    const bar = element.querySelector(".topbar");
    const where = h("span", { class: "where cut", "data-name": "" });
    const offline = h("span", { class: "offline", role: "alert", hidden: true }, "Connection lost. Trying again…");
    const good = h("button", { type: "button", class: "button", onclick: () => summary() }, h("span", {}, "How good is this student?"));
    const exportMenu = menu("Export", "export", () => [
        [FILES.safetensors, "weights and words, read without pickle", () => exportFile("safetensors")],
        [FILES.onnx, "one file: pixels in, probabilities out", () => exportFile("onnx")],
        [FILES.recipe, "the steps, to be replayed elsewhere", () => exportFile("recipe")],
        [FILES.report, "one self-contained page with pictures", () => exportFile("report")],
        "-",
        h("h3", { role: "presentation" }, "Charts, as they stand now"),
        ...app.chart.names().map((name) => h("div", { class: "menu-row", role: "presentation" }, h("span", {}, name), ...["SVG", "PNG"].map((kind) =>
          h("button", { type: "button", role: "menuitem", "aria-label": `Chart: ${name} (${kind})`, onclick: () => { exportMenu.close(); app.chart.saveNamed(name, kind.toLowerCase()); } }, kind)))),
      ]);
    bar.append(h("h1", { class: "brand" }, mark(), "InFiConD"), where, good, h("span", { class: "space" }), offline,
      ui.button("Guide", { icon: "guide", kind: "quiet", onclick: () => app.guide.start(true) }),
      ui.button("New project", { icon: "plus", kind: "quiet", onclick: () => newProject() }),
      exportMenu,
      ui.button("Keyboard", { icon: "keys", wide: false, kind: "quiet", title: "Keyboard (?)", onclick: () => keyboard() }),
      ui.button("Copy a link to this selection", { icon: "link", wide: false, kind: "quiet", onclick: async () => ui.say((await ui.copy(store.permalink())) ? "The link to this selection is copied." : store.permalink()) }),
      ui.button("Light or dark", { icon: "moon", wide: false, kind: "quiet", onclick: () => ui.dark(!ui.isDark()) }));
    store.on("welcome", ({ info }) => {
      text(where, info.project);
      where.title = info.project;
      ui.explain(info.glossary);
      if (info.demo && !ui.keep.get("guided")) app.guide.offer();
    });
    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, dialog")) return;
      if (event.key === "?") { event.preventDefault(); keyboard(); }
      else if (/^[1-9]$/.test(event.key) && goTo(event.key)) event.preventDefault();
    });
    store.on("node", (answer) => told(answer));
    store.on("online", (now) => {
      offline.hidden = now;
      document.body.classList.toggle("offline", !now);
      if (now) ui.say("Connected again.");
    });
    if (ui.keep.get("hints") === "off") document.body.classList.add("no-hints");
    shell.props = props;
    store.connect(server, upload);
  }

  /** Go to the view of a number: to what is selected in it, or to the first thing in it. */
  function goTo(number) {
    const heading = document.getElementById(`view-title-${number}`);
    const view = heading && heading.closest(".view");
    if (!view) return false;
    const inside = [...view.querySelectorAll('.view-body [tabindex="0"], .view-body input, .view-body button')];
    const there = (n) => n.offsetParent && !n.disabled && n.tabIndex >= 0 && !n.matches("dfn");
    const stop = inside.find((n) => there(n) && n.matches('[role="row"], [role="option"], [role="slider"], .prov-go')) || inside.find(there);
    if (!stop) return false;
    stop.focus();
    stop.scrollIntoView({ block: "nearest" });
    return true;
  }

  /** What a step did, with the way back beside it. */
  function told({ deed, node, said, note }) {
    const tree = store.state.parts["provenance.tree"];
    const at = tree && tree.nodes.find((n) => n.id === node);
    if (!at || deed === "rename") return note && ui.say(note);
    const name = at.name || at.text;
    const tail = note ? `. ${note}` : "";
    if (["undo", "redo", "checkout"].includes(deed)) return ui.say(`Now at: ${name}${tail}`, "", null, "step");
    return ui.say(`${said || `Applied: ${name}${at.gain ? ` (${at.gain})` : ""}`}${tail}`, "", ["Take it back", () => store.act("undo")], "step");
  }

  // ---------------------------------------------------------------- the keys
  const KEYS = [
    ["Anywhere", [[["1", "\u2026", "6"], "to the view of that number"], [["Tab"], "from view to view, and to every button"], [["Ctrl Z"], "undo"], [["Ctrl Shift Z", "Ctrl Y"], "redo"], [["?"], "this list"]]],
    ["Classes", [[["\u2191", "\u2193"], "from class to class"], [["Enter"], "select"], [["\u2190", "\u2192"], "to its subsets"]]],
    ["Concepts", [[["\u2191", "\u2193"], "from word to word; its images light up"], [["Enter"], "pick: its slider comes first"], [["+", "\u2212", "M", "L"], "as at its slider"], [["B"], "brush the upper part, the lower part, nothing"]]],
    ["Sliders", [[["\u2190", "\u2192", "PgUp", "PgDn", "Home", "End", "0"], "set the weight"], [["+", "\u2212"], "raise, lower"], [["M", "L"], "mute, lock"], [["F"], "free: lift the bound in force"], [["Del"], "take back what is not applied yet"], [["Enter"], "apply"]]],
    ["Images", [[["\u2190", "\u2192", "\u2191", "\u2193", "PgUp", "PgDn", "Home", "End"], "from image to image; where one is open, the next opens"], [["Enter"], "open"], [["Esc"], "close"]]],
    ["Provenance", [[["\u2191", "\u2193"], "from step to step"], [["Enter"], "go there; the next step begins a branch"], [["Tab"], "then Enter: name the step"]]],
  ];
  function keyboard() {
    ui.dialog("Keyboard", h("div", { class: "keys" }, KEYS.map(([where, rows]) => h("section", {}, h("h3", {}, where), h("dl", { class: "keys-list" }, rows.map(([keys, what]) => [h("dt", {}, keys.map((k) => (k === "\u2026" ? k : h("kbd", {}, k)))), h("dd", {}, what)]))))), { wide: true });
  }

  const table = (head, rows) => h("div", { class: "table-box", tabindex: "0", role: "group", "aria-label": "Table" }, h("table", {}, h("thead", {}, h("tr", {}, head.map((t, i) => h("th", { class: i ? "number" : "", scope: "col" }, t)))),
    h("tbody", {}, rows.map((r) => h("tr", { class: r.strong ? "strong" : "" }, r.cells.map((t, i) => h("td", { class: i ? "number" : "", "data-name": i ? null : "" }, t)))))));

  // ---------------------------------------------------------------- long work: a bar, time left, a way to stop
  /** Watch a job of the server; resolves to its result, or null where it failed or was stopped. */
  async function watchJob(job, box) {
    const bar = h("div", { class: "progress", role: "progressbar", "aria-valuemin": 0, "aria-valuemax": 100 }, h("i"));
    const line = h("p", { class: "muted", role: "status" }, "Starting…");
    const notes = h("ul", { class: "job-notes" });
    const stop = ui.button("Cancel", { onclick: () => { stop.disabled = true; store.call("cancel_job", { job }); } });
    box.replaceChildren(bar, line, notes, h("div", { class: "row-end" }, stop));
    for (;;) {
      await new Promise((r) => setTimeout(r, 350));
      let answer;
      try {
        answer = await store.call("job", { job }, { quiet: true });
      } catch { continue; }
      if (answer.error) { line.textContent = answer.error; line.className = "bad"; stop.remove(); return null; }
      const j = answer.job;
      const share = j.state === "done" ? 1 : j.total ? j.done / j.total : 0;
      const stage = j.stage.charAt(0).toUpperCase() + j.stage.slice(1);
      bar.firstElementChild.style.width = `${100 * share}%`;
      attr(bar, "aria-valuenow", Math.round(100 * share));
      text(line, j.state === "running" ? `${stage}${j.total > 1 ? `: ${fmt.count(j.done)} of ${fmt.count(j.total)}` : ""}${j.left !== null && j.left > 1 ? `, ${fmt.time(j.left)} left` : ""}` : j.line);
      keyed(notes, j.notes, (n) => n, () => h("li"), (node, n) => text(node, n));
      if (j.state === "running") continue;
      stop.remove();
      if (j.state !== "done") { line.className = "bad"; return null; }
      return j.result;
    }
  }

  async function summary() {
    const box = h("div", { class: "stack-form" }, h("p", { class: "muted" }, "Measuring…"));
    ui.dialog("How good is this student?", box, { wide: true });
    const answer = await store.call("start_report", {});
    if (!answer.job) return box.replaceChildren(h("p", { class: "bad" }, answer.error || "It could not be measured."));
    const result = await watchJob(answer.job, box);
    if (!result) return;
    box.replaceChildren(
      h("ul", { class: "said" }, result.summary.map((line) => h("li", {}, line))),
      table(result.head, result.rows),
      h("p", { class: "muted" }, "All on held-out images. “", ui.term("random concepts", "Random concepts"), "” is the same fit on random directions instead of words: a student that does not beat it predicts well for reasons that its words do not tell."));
  }

  // ---------------------------------------------------------------- taking things away
  const FILES = { safetensors: "Student (safetensors)", onnx: "Student (ONNX)", recipe: "Recipe (JSON)", report: "Report (HTML)" };
  async function exportFile(kind) {
    const box = h("div", { class: "stack-form" }, h("p", { class: "muted" }, "Preparing…"));
    const dialog = ui.dialog(FILES[kind], box);
    const answer = await store.call("start_export", { kind });
    if (!answer.job) return dialog.close();
    const result = await watchJob(answer.job, box);
    if (!result) return;
    ui.save(result.name, result.url);
    box.replaceChildren(h("p", {}, "Saved as ", h("b", { "data-name": "" }, result.name), ` (${result.size}).`), h("p", { class: "muted" }, result.use), result.command ? h("code", { class: "command", "data-name": "" }, result.command) : null,
      h("div", { class: "row-end" }, h("a", { class: "button", href: result.url, download: result.name }, "Download again"), ui.button("Done", { kind: "primary", onclick: () => dialog.close() })));
    store.emit("exported", kind);
  }

  // ---------------------------------------------------------------- settings
  async function settings() {
    const { origin } = shell.props.local_folders ? await store.call("origin", {}, { quiet: true }) : {};
    const facts = store.state.parts["configuration.facts"];
    const lam = h("input", { type: "text", inputmode: "decimal", value: facts.lam, "aria-label": "λ" });
    const matched = facts.threshold === "matched";
    const at = h("input", { type: "text", inputmode: "decimal", value: matched ? 0.5 : facts.threshold, "aria-label": "Threshold of every class" });
    const rates = [["one", "The same for every class:"], ["matched", "Each class its own, so that its student says yes as often as the teacher does on training images"]].map(([value, said]) =>
      h("label", { class: "check" }, h("input", { type: "radio", name: "threshold", value, checked: (value === "matched") === matched }), h("span", {}, said), value === "one" ? at : null));
    at.addEventListener("focus", () => { rates[0].querySelector("input").checked = true; });
    const hints = h("input", { type: "checkbox", id: "inf-hints" });
    hints.checked = !document.body.classList.contains("no-hints");
    hints.addEventListener("change", () => { document.body.classList.toggle("no-hints", !hints.checked); ui.keep.set("hints", hints.checked ? "on" : "off"); });
    const section = (title, about, label, send, ...fields) => h("form", { class: "stack-form setting", onsubmit: async (event) => {
      event.preventDefault();
      const answer = await send();
      if (answer && !answer.error) dialog.close();
    } }, h("div", {}, h("h3", {}, title), h("p", { class: "muted" }, about)), ...fields, h("div", { class: "row-end" }, h("button", { type: "submit", class: "button" }, label)));
    const plain = (input) => input.value.trim().replace(",", ".");
    const dialog = ui.dialog("Settings", [
      section("λ, the strength of the L1 penalty", "Larger: fewer words with weight. Every class is refitted; the step can be undone.", "Refit",
        () => store.act("set_lambda", { lam: plain(lam) }), lam),
      section("Threshold", "From which probability the student says yes. Nothing is refitted; the step can be undone.", "Set thresholds",
        () => store.act("set_thresholds", { at: rates[1].querySelector("input").checked ? "matched" : Number(plain(at)) }), ...rates),
      h("div", { class: "setting stack-form" }, h("div", {}, h("h3", {}, "Classes"), h("p", { class: "muted" }, origin ? "Another choice of classes is another project: the same images, encoder and teacher, filled in already." : "They are chosen when a project is made; “New project” asks for them.")),
        origin ? h("div", { class: "row-end" }, ui.button("Choose other classes", { onclick: () => { dialog.close(); newProject(origin); } })) : null),
      h("div", { class: "setting" }, h("label", { class: "check" }, hints, "Show the line under each view's title")),
      facts.note ? h("p", { class: "muted" }, facts.note) : null,
    ]);
  }

  async function openProject(key) {
    const answer = await store.call("open_project", { project: key });
    if (answer.error) return;
    store.storage.set("token", answer.token);
    location.hash = "";
    location.reload();
  }

  // ---------------------------------------------------------------- the teacher is wrong
  function override(opened) {
    if (!opened) return;
    const cls = store.state.selection.cls;
    const say = async (value) => { dialog.close(); await store.act("override", { cls, image: opened.id, value }); };
    const dialog = ui.dialog("What does this image show?", [
      h("p", {}, "The teacher gives ", h("b", { "data-name": "" }, cls), ` ${fmt.percent(opened.teacher)} in `, h("b", { "data-name": "" }, opened.id), ". You can overrule it:"),
      h("p", { class: "muted" }, opened.validation ? "This image is held out: it never enters a fit, so only the measures change." : "The target of this image changes, the class is refitted, and the step is kept in the provenance."),
    ], { buttons: [ui.button("It shows the class", { onclick: () => say(1) }), ui.button("It does not", { onclick: () => say(0) }), ui.button("As the teacher says", { onclick: () => say(null) })] });
  }

  // ---------------------------------------------------------------- one's own image
  async function tryImage(file) {
    if (file.size > 24 * 2 ** 20) return ui.say(`“${file.name}” is larger than 24 MB: choose a smaller image.`, "bad");
    let sent;
    try {
      sent = await store.upload(file);
    } catch {
      return ui.say(`“${file.name}” could not be sent: it may be too large.`, "bad");
    }
    const answer = await store.call("classify", { path: sent.path, name: file.name });
    if (answer.trial) showTrial(answer.trial);
  }

  function showTrial(t) {
    const picture = h("img", { src: t.url, alt: t.name, class: "trial-picture" });
    const veil = h("canvas", { class: "trial-veil", "aria-hidden": "true" });
    const seen = h("p", { class: "evidence-line muted" });
    const why = h("div", { class: "trial-why", role: "list", "aria-label": "Contributions to the logit" });
    const sum = h("p", { class: "logit-line" });
    const heading = h("h3", {});
    const look = (name) => {
      const found = t.evidence[name];
      app.chart.evidence(veil, picture.clientWidth, picture.clientHeight, found && found.cells, t.grid, t.crop);
      text(seen, found ? `“${name}” most here: cosine ${fmt.num(found.score)}` : "");
      for (const node of why.children) node.classList.toggle("seen", Boolean(found) && node.__item.name === name);
    };
    const reason = () => {
      const node = h("div", { role: "listitem" });
      for (const type of ["mouseenter", "focus"]) node.addEventListener(type, () => node.__item.kind === "concept" && look(node.__item.name));
      return node;
    };
    let shown;
    const select = (row) => {
      shown = row;
      for (const b of list.children) attr(b, "aria-pressed", b.__row === row ? "true" : "false");
      text(heading, `Why the student says ${fmt.percent(row.student)} to “${row.name}”`);
      app.chart.contributions(why, row.bars, reason);
      app.chart.logit(sum, row.bars);
      const first = row.bars.find((b) => b.kind === "concept" && t.evidence[b.name]);
      look(first && first.name);
    };
    const list = h("div", { class: "trial-classes" }, t.rows.map((row) => {
      const b = h("button", { type: "button", class: "trial-class", onclick: () => select(row) }, h("span", { class: "cut", "data-name": "" }, row.name), h("span", {}, fmt.percent(row.teacher)), h("b", {}, fmt.percent(row.student)));
      b.__row = row;
      return b;
    }));
    ui.dialog(`Your image: ${t.name}`, [
      h("div", { class: "trial" }, h("div", {}, h("div", { class: "trial-stage" }, picture, veil), seen),
        h("div", {}, h("div", { class: "trial-head muted", "aria-hidden": "true" }, h("span", {}, "class"), h("span", {}, "teacher"), h("span", {}, "student")), list, heading, why, sum)),
      h("p", { class: "muted" }, t.line),
    ], { wide: true, onclose: () => store.call("forget_trial", {}, { quiet: true }).catch(() => {}) });
    select(t.rows[0]);
    picture.decode().catch(() => {}).then(() => select(shown)); // now that the picture has a size, its evidence too
  }

  // ---------------------------------------------------------------- a new project
  /** The form, maybe filled with `given`: what another project was made from. */
  function newProject(given = {}) {
    const local = shell.props.local_folders;
    const folder = h("input", { type: "text", placeholder: "a folder of photographs on this machine", disabled: !local });
    const files = h("input", { type: "file", multiple: true, accept: "image/*", class: "file" });
    const name = h("input", { type: "text", placeholder: "My photographs", maxlength: 80 });
    const teacher = h("input", { type: "text", value: "embedded", disabled: !local });
    const encoder = h("input", { type: "text", value: "embedded", disabled: !local });
    const classes = h("textarea", { rows: 3, placeholder: "one class a line, with the teacher's labels after a colon:\nboat: canoe, speedboat, gondola" });
    const problem = h("p", { class: "bad", role: "alert", hidden: true }); // in the dialog: lines at the foot lie behind it
    const tell = (line) => { text(problem, line); problem.hidden = !line; };
    const form = h("form", { class: "stack-form" },
      h("p", { class: "muted" }, "Your photographs become concept vectors and the teacher's answers, and from them a readable student for each class. Nothing leaves the machine that serves this page."),
      local ? h("label", { class: "field" }, "Folder", folder) : null,
      h("label", { class: "field" }, local ? "or images to upload" : "Images to upload", files),
      h("label", { class: "field" }, "Name", name),
      local ? h("div", { class: "two" }, h("label", { class: "field" }, "Teacher", h("small", {}, "embedded, a model folder or responses"), teacher), h("label", { class: "field" }, "Encoder", h("small", {}, "embedded or a model folder"), encoder)) : null,
      h("label", { class: "field" }, "Classes (may stay empty)", h("small", {}, "Empty: what the teacher sees most in these images."), classes),
      problem,
      h("div", { class: "row-end" }, h("button", { type: "submit", class: "button primary" }, "Distil")));
    const box = h("div", {}, form);
    for (const [input, value] of [[folder, given.folder], [name, given.name], [teacher, given.teacher], [encoder, given.encoder], [classes, given.classes]]) if (value) input.value = value;
    if (given.classes) classes.rows = 8;
    const dialog = ui.dialog(given.folder ? "Other classes, the same images" : "A new project", box);
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      tell("");
      const request = { folder: folder.value.trim(), name: name.value.trim(), teacher: teacher.value.trim(), encoder: encoder.value.trim(), classes: classes.value, files: [] };
      if (files.files.length) {
        const line = h("p", { class: "muted", role: "status" });
        form.append(line);
        let i = 0;
        for (const file of files.files) {
          text(line, `Sending ${++i} of ${files.files.length}…`);
          try {
            request.files.push({ path: (await store.upload(file)).path, name: file.name });
          } catch { ui.say(`“${file.name}” could not be sent; it is left out.`, "bad"); }
          if (!dialog.open) return;
        }
        line.remove();
      }
      const answer = await store.call("start_project", request, { quiet: true });
      if (!answer.job) return tell(answer.error || "The project could not be started.");
      const place = h("div", { class: "stack-form" });
      form.hidden = true;
      box.append(place);
      const result = await watchJob(answer.job, place);
      if (!result) {
        const why = place.querySelector("p.bad");
        form.hidden = false;
        place.remove();
        return tell(!why ? "The project was not made." : why.textContent.startsWith("Cancelled") ? `${why.textContent} The same request goes on from there.` : why.textContent);
      }
      place.append(h("p", {}, result.line), h("div", { class: "row-end" }, ui.button("Open it", { kind: "primary", onclick: () => openProject(result.project) })));
    });
  }

  const shell = { table, start, keyboard, exportFile, settings, openProject, override, tryImage, newProject, summary };
  app.shell = shell;
})();
