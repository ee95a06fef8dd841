/* The one owner of what is selected and of what the server said about it.

   A view asks to be told (`on`), asks for a change (`select`), and draws the parts that it named; it never
   speaks to another view. Hover and brush are events of the browser alone. */
(() => {
  const app = window.inficond;
  const listeners = new Map();
  const FIELDS = ["cls", "subset", "slice", "concepts", "image", "scope"];
  const EMPTY = { cls: null, subset: null, slice: null, concepts: [], image: null, scope: null };

  const state = {
    selection: { ...EMPTY },
    parts: {}, // name -> what the server returned last
    catalogue: {}, // name -> {depends: [...], slow: bool}
    token: null,
    node: null,
    hover: null, // concept
    brush: null, // {concept, low, high}
    pending: [], // tuning actions not yet applied, of the selected class
    kept: new Map(), // class -> {pending, focus}: the same of classes that were left
    focus: null,
    preview: null,
    ready: false,
  };
  const sequence = {}; // part -> number of the last request that asked for it
  let counter = 0;
  let server = null;
  let upload = null;
  let online = true;

  function on(event, fn) {
    if (!listeners.has(event)) listeners.set(event, new Set());
    listeners.get(event).add(fn);
    const part = event.startsWith("part:") && state.parts[event.slice(5)];
    if (part) fn(part); // a view that starts late draws what is already there
    return () => listeners.get(event).delete(fn);
  }

  function emit(event, detail) {
    for (const fn of listeners.get(event) || []) {
      try {
        fn(detail);
      } catch (error) {
        console.error(`a listener of "${event}" failed`, error);
      }
    }
  }

  // ---------------------------------------------------------------- the server

  /** Call a function of the page's server side. Resolves to its answer; bad input is shown, not thrown. */
  async function call(name, request = {}, { quiet = false, notes = !quiet } = {}) {
    const sent = state.token;
    let answer;
    try {
      answer = JSON.parse(await server[name]({ token: sent, ...request }));
    } catch (error) {
      setOnline(false);
      throw error;
    }
    setOnline(true);
    if (answer.token && answer.token !== state.token && sent === state.token) { // else a late answer to an earlier visit
      state.token = answer.token;
      remember();
    }
    if (answer.error && !quiet) app.ui.say(answer.error, "bad");
    if (answer.note && notes) app.ui.say(answer.note);
    return answer;
  }

  let retry = null;
  function setOnline(now) {
    if (now === online) return;
    online = now;
    emit("online", now);
    if (!now && !retry) {
      retry = setInterval(async () => {
        try {
          await call("hello", { selection: state.selection }, { quiet: true }).then(welcome);
          clearInterval(retry);
          retry = null;
        } catch {
          /* still away: asked again in two seconds */
        }
      }, 2000);
    }
  }

  /** Ask for parts; slow ones go in a request of their own, so that they hold nothing up. */
  async function read(names) {
    if (!names.length) return;
    const quick = names.filter((n) => !state.catalogue[n].slow);
    const slow = names.filter((n) => state.catalogue[n].slow);
    for (const n of slow) due.add(n);
    if (quick.length) await fetchParts(quick).then(() => emit("drawn", ++drawn)).catch(() => {});
    readSlow();
  }
  let drawn = 0;

  // Slow parts go one at a time, each for what is selected when its turn comes: a person who clicks through ten
  // classes does not queue ten searches for suggestions.
  const due = new Set();
  let slowBusy = false;
  async function readSlow() {
    if (slowBusy) return;
    slowBusy = true;
    await new Promise((r) => setTimeout(r, 60));
    while (due.size) {
      const order = [...due].sort((a, b) => state.catalogue[a].slow - state.catalogue[b].slow);
      due.delete(order[0]);
      if (!order.length) break;
      const answer = await fetchParts([order[0]]).catch(() => ({}));
      if (answer.later) { // many are searching: asked again for whatever is selected by then
        due.add(order[0]);
        emit(`later:${order[0]}`, answer.later);
        await new Promise((r) => setTimeout(r, 1000 * answer.seconds));
      }
    }
    slowBusy = false;
  }

  async function fetchParts(names) {
    const mine = ++counter;
    for (const n of names) sequence[n] = mine;
    emit("busy", names);
    const asked = state.selection;
    let answer;
    try {
      answer = await call("read", { parts: names, selection: asked });
    } finally {
      emit("settled", names);
    }
    const stale = (n) => state.catalogue[n].slow && due.has(n);
    const fresh = names.filter((n) => sequence[n] === mine && !stale(n));
    if (answer.selection && state.selection === asked) settle(answer.selection); // else the person went on meanwhile
    for (const n of fresh) if (answer.parts && n in answer.parts) put(n, answer.parts[n]);
    if (answer.failed) for (const n of fresh) if (n in answer.failed) emit(`failed:${n}`, answer.failed[n]);
    return answer;
  }

  function put(name, data) {
    state.parts[name] = data;
    emit(`part:${name}`, data);
  }

  /** The server's valid form of what was asked (a stale permalink is mended there). */
  function settle(valid) {
    const changed = FIELDS.filter((f) => f in valid && !same(valid[f], state.selection[f]));
    if (!changed.length) return;
    state.selection = { ...state.selection, ...Object.fromEntries(changed.map((f) => [f, valid[f]])) };
    remember();
    emit("select", { changed });
  }

  // ---------------------------------------------------------------- the selection

  const same = (a, b) => a === b || (Array.isArray(a) && Array.isArray(b) && a.join("\n") === b.join("\n"));

  /** Change the selection: `{cls, subset, slice, concepts, image, scope}`, any of them. */
  function select(patch) {
    const next = { ...state.selection, ...patch };
    if ("cls" in patch && patch.cls !== state.selection.cls) {
      if (!("slice" in patch)) next.slice = null;
      if (!("subset" in patch)) next.subset = null;
    }
    if (("subset" in patch && patch.subset) && !("slice" in patch)) next.slice = null;
    if (("slice" in patch && patch.slice) && !("subset" in patch)) next.subset = null;
    const changed = FIELDS.filter((f) => !same(next[f], state.selection[f]));
    if (!changed.length) return Promise.resolve();
    const from = state.selection.cls;
    state.selection = next;
    if (changed.includes("cls")) leave(from);
    if (["cls", "subset", "slice", "scope"].some((f) => changed.includes(f))) dropMarks();
    remember();
    emit("select", { changed });
    const names = Object.keys(state.catalogue).filter((n) => state.catalogue[n].depends.some((d) => changed.includes(d)));
    return read(names);
  }

  /** Ask again for everything that depends on where in the history the visitor is. */
  function refresh(fields = ["node"]) {
    return read(Object.keys(state.catalogue).filter((n) => state.catalogue[n].depends.some((d) => fields.includes(d))));
  }

  function toggleConcept(name) {
    const has = state.selection.concepts.includes(name);
    return select({ concepts: has ? state.selection.concepts.filter((c) => c !== name) : [...state.selection.concepts, name] });
  }

  const hover = app.dom.perFrame((concept) => {
    if (concept === state.hover) return;
    state.hover = concept;
    emit("hover", concept);
  });
  const brush = app.dom.perFrame((range) => {
    state.brush = range;
    emit("brush", range);
  });

  /** Other images are shown: what lit up some of the earlier ones is over. */
  function dropMarks() {
    const { hover: hovered, brush: brushed } = state;
    state.hover = state.brush = null;
    if (hovered) emit("hover", null);
    if (brushed) emit("brush", null);
  }

  // ---------------------------------------------------------------- the address and the tab's memory

  function toHash(selection) {
    const q = new URLSearchParams();
    if (selection.cls) q.set("class", selection.cls);
    if (selection.subset) q.set("subset", selection.subset);
    if (selection.slice) q.set("slice", selection.slice);
    for (const c of selection.concepts) q.append("concept", c);
    if (selection.image) q.set("image", selection.image);
    if (selection.scope) q.set("scope", selection.scope);
    return q.toString();
  }

  function fromHash(hash) {
    const q = new URLSearchParams(hash.replace(/^#/, ""));
    return {
      cls: q.get("class"),
      subset: q.get("subset"),
      slice: q.get("slice"),
      concepts: q.getAll("concept").slice(0, 40),
      image: q.get("image"),
      scope: q.get("scope"),
    };
  }

  const storage = {
    get: (key) => { try { return sessionStorage.getItem(`inficond.${key}`); } catch { return null; } },
    set: (key, value) => { try { sessionStorage.setItem(`inficond.${key}`, value); } catch { /* private mode */ } },
  };

  function remember() {
    const hash = toHash(state.selection);
    if (location.hash.replace(/^#/, "") !== hash) history.replaceState(null, "", `#${hash}`);
    if (state.token) storage.set("token", state.token);
  }

  /** A link that shows somebody else what is selected here. */
  const permalink = () => `${location.origin}${location.pathname}${location.search}#${toHash(state.selection)}`;

  // ---------------------------------------------------------------- tuning: preview, apply, history

  /** Go on to another class: what is not applied of this one waits until the person is back. */
  function leave(from) {
    const { cls } = state.selection;
    if (state.pending.length) state.kept.set(from, { pending: state.pending, focus: state.focus });
    const back = state.kept.get(cls) || { pending: [], focus: null };
    state.kept.delete(cls);
    dropPending();
    if (!back.pending.length && !state.focus) return;
    Object.assign(state, back);
    emit("pending");
    schedulePreview();
  }

  function dropPending() {
    const had = state.pending.length || state.preview;
    state.pending = [];
    state.preview = null;
    if (had) emit("pending");
    emit("preview-due", false);
  }

  /** Set (or with null take back) the pending action on one concept. */
  function propose(concept, action) {
    const words = state.parts["tuning.words"];
    const group = words && words.names.includes(concept) ? `group:${words.groups[words.names.indexOf(concept)]}` : null;
    // an action on a group becomes one on each of its concepts, so that this one can differ
    state.pending = state.pending.flatMap((a) =>
      a.concept === group ? words.names.filter((_, i) => `group:${words.groups[i]}` === group).map((c) => ({ ...a, concept: c })) : [a]);
    state.pending = state.pending.filter((a) => a.concept !== concept);
    if (action) state.pending.push({ ...action, concept });
    emit("pending");
    schedulePreview();
  }

  /** Take a suggestion's actions in place of an earlier suggestion's; what the person set themselves stays, where the
      suggestion does not speak of it. */
  function proposeAll(actions) {
    const words = state.parts["tuning.words"] || { names: [], groups: [] };
    const spoken = new Set(actions.flatMap((a) => [a.concept, ...words.names.filter((_, i) => `group:${words.groups[i]}` === a.concept)]));
    state.pending = [...state.pending.filter((a) => !a.suggested && !spoken.has(a.concept)), ...actions.map((a) => ({ ...a, suggested: true }))];
    emit("pending");
    schedulePreview();
  }

  let previewBusy = false;
  let previewDue = false;
  async function schedulePreview() {
    if (!state.pending.length) {
      state.preview = null;
      previewDue = false;
      emit("preview", null);
      emit("preview-due", false);
      return;
    }
    if (state.preview) emit("preview-due", true);
    if (previewBusy) {
      previewDue = true; // the newest request wins; those between are never sent
      return;
    }
    previewBusy = true;
    previewDue = false;
    const cls = state.selection.cls;
    try {
      const answer = await call("preview", { cls, actions: state.pending, focus: state.focus }, { quiet: true });
      if (cls === state.selection.cls && state.pending.length) {
        state.preview = answer.error ? { error: answer.error } : answer.preview;
        emit("preview", state.preview);
      }
    } catch {
      /* the connection's banner tells */
    }
    previewBusy = false;
    if (previewDue) schedulePreview();
    else emit("preview-due", false);
  }

  function setFocus(focus) {
    state.focus = focus;
    emit("pending");
    schedulePreview();
  }

  let acting = false;
  let turn = Promise.resolve();
  /** Take a step of the history. Undo and redo wait for their turn, as fast as they are pressed; anything else is
      dropped while a step is on its way: a second click on Apply is no second step. */
  function act(name, request = {}) {
    if (acting && name !== "undo" && name !== "redo") return Promise.resolve(null);
    return (turn = turn.then(() => take(name, request)));
  }
  async function take(name, request) {
    acting = true;
    emit("acting", true);
    const asked = state.selection;
    try {
      const answer = await call(name, { ...request, selection: asked, parts: quickNodeParts() }, { notes: false }); // told with the step
      if (!answer.error) {
        if (asked.cls === state.selection.cls) dropPending();
        else if (state.kept.delete(asked.cls)) emit("pending");
        dropMarks();
        const still = state.selection === asked;
        if (still && answer.selection) settle(answer.selection);
        for (const [n, data] of Object.entries(answer.parts || {})) {
          if (!still && state.catalogue[n].depends.some((d) => d !== "node")) continue;
          sequence[n] = ++counter;
          put(n, data);
        }
        if (!still) read(Object.keys(answer.parts || {}).filter((n) => state.catalogue[n].depends.some((d) => d !== "node")));
        emit("node", { ...answer, deed: name });
        emit("drawn", ++drawn);
        read(Object.keys(state.catalogue).filter((n) => state.catalogue[n].slow && state.catalogue[n].depends.includes("node")));
      }
      return answer;
    } catch {
      return null;
    } finally {
      acting = false;
      emit("acting", false);
    }
  }
  const quickNodeParts = () =>
    Object.keys(state.catalogue).filter((n) => !state.catalogue[n].slow && state.catalogue[n].depends.includes("node"));

  const apply = () =>
    state.pending.length
      ? act("apply", { cls: state.selection.cls, actions: state.pending, focus: state.focus })
      : Promise.resolve(null);

  // ---------------------------------------------------------------- the beginning

  function welcome(answer) {
    state.catalogue = answer.catalogue;
    state.info = answer.info;
    if (answer.selection) settle(answer.selection);
    for (const [n, data] of Object.entries(answer.parts)) put(n, data);
    if (!state.ready) performance.mark("inficond-drawn"); // all views are drawn for the first time
    emit("welcome", answer);
    emit("drawn", ++drawn);
    state.ready = true;
    read(Object.keys(state.catalogue).filter((n) => state.catalogue[n].slow));
  }

  /** Called once by the page's own component, which holds the way to the server. */
  async function connect(theServer, theUpload) {
    server = theServer;
    upload = theUpload;
    state.token = storage.get("token");
    state.selection = { ...EMPTY, ...fromHash(location.hash) };
    window.addEventListener("hashchange", () => select(fromHash(location.hash)));
    document.addEventListener("keydown", (event) => {
      const typing = event.target.closest("input, textarea, select, [contenteditable]");
      if (!(event.ctrlKey || event.metaKey) || event.altKey || typing) return;
      const key = event.key.toLowerCase();
      if (key === "z" && !event.shiftKey) { event.preventDefault(); act("undo"); }
      else if (key === "y" || (key === "z" && event.shiftKey)) { event.preventDefault(); act("redo"); }
    });
    for (;;) {
      try {
        welcome(await call("hello", { selection: state.selection }, { quiet: false }));
        break;
      } catch (error) {
        await new Promise((r) => setTimeout(r, 1000));
      }
    }
    setInterval(() => {
      if (document.visibilityState === "visible" && online) call("ping", {}, { quiet: true }).catch(() => {});
    }, 10000);
  }

  app.store = {
    state, on, emit, call, select, refresh, toggleConcept, hover, brush, permalink, propose, proposeAll, dropPending,
    setFocus, apply, act, connect, storage, upload: (file) => upload(file),
    get online() { return online; },
  };

  /** A view says hello: `setup(view)` builds it once; it then draws whenever a part that it listens to arrives.
      `view` has `root`, `body`, `tools` and `part(name, draw)`. */
  app.view = (name, element, setup, props) => {
    const root = element.querySelector(".view");
    const tools = app.dom.h("div", { class: "view-tools" });
    const body = app.ui.frame(root, props.number, props.title, props.about, tools);
    const fault = app.dom.h("div", { class: "failed", role: "alert", hidden: true });
    body.before(fault);
    let waiting = 0;
    const own = new Set();
    const view = { name, root, body, tools,
      part(part, draw) {
        own.add(part);
        on(`part:${part}`, (data) => {
          fault.hidden = true;
          draw(data);
        });
        on(`failed:${part}`, (line) => {
          app.dom.text(fault, line);
          fault.hidden = false;
        });
      } };
    on("busy", (names) => {
      if (!names.some((n) => own.has(n))) return;
      clearTimeout(waiting);
      waiting = setTimeout(() => root.setAttribute("data-waiting", ""), 180);
    });
    on("settled", (names) => {
      if (!names.some((n) => own.has(n))) return;
      clearTimeout(waiting);
      root.removeAttribute("data-waiting");
    });
    try {
      setup(view);
    } catch (error) {
      console.error(`the view "${name}" could not start`, error);
    }
  };
})();
