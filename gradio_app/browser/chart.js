/* Marks that several views draw, and charts as files. All marks are SVG with colours from the theme's variables. */
(() => {
  const app = window.inficond;
  const { s, h, attr, text, keyed, fmt } = app.dom;

  /** A nice number at or above x, for the end of an axis. */
  function ceilNice(x) {
    if (!(x > 0)) return 1;
    const p = 10 ** Math.floor(Math.log10(x));
    for (const m of [1, 1.5, 2, 3, 4, 5, 7.5, 10]) if (x <= m * p * 1.0001) return m * p;
    return 10 * p;
  }

  const STYLED = ["fill", "stroke", "stroke-width", "stroke-linecap", "opacity", "font-size", "font-weight", "font-family",
    "text-anchor", "dominant-baseline", "stroke-dasharray", "fill-opacity"];

  /** A drawn SVG as a file of its own: every colour and font written into it. */
  function standalone(svg, title) {
    const copy = svg.cloneNode(true);
    const from = [svg, ...svg.querySelectorAll("*")];
    const to = [copy, ...copy.querySelectorAll("*")];
    from.forEach((node, i) => {
      const style = getComputedStyle(node);
      for (const name of STYLED) {
        const value = style.getPropertyValue(name);
        if (value) to[i].setAttribute(name, value);
      }
      to[i].removeAttribute("class");
    });
    const box = svg.viewBox.baseVal;
    const width = box && box.width ? box.width : svg.getBoundingClientRect().width;
    const height = box && box.height ? box.height : svg.getBoundingClientRect().height;
    copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
    copy.setAttribute("width", width);
    copy.setAttribute("height", height);
    copy.prepend(s("title", {}, title), s("rect", { x: 0, y: 0, width, height, fill: app.ui.colour("panel") }));
    return { text: new XMLSerializer().serializeToString(copy), width, height };
  }

  /** Save a drawn SVG, as `svg` or `png` (twice the size, for slides). */
  async function saveChart(svg, name, kind) {
    const { text, width, height } = standalone(svg, name);
    const vector = new Blob([text], { type: "image/svg+xml" });
    if (kind === "svg") return app.ui.saveBlob(`${name}.svg`, vector);
    const image = new Image();
    image.src = `data:image/svg+xml;base64,${btoa(unescape(encodeURIComponent(text)))}`;
    await image.decode();
    const canvas = h("canvas", { width: width * 2, height: height * 2 });
    canvas.getContext("2d").drawImage(image, 0, 0, width * 2, height * 2);
    const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
    return app.ui.saveBlob(`${name}.png`, blob);
  }

  /** The charts that can be saved: name -> function that draws a whole SVG of what the view shows now. */
  const charts = new Map();
  const offer = (name, draw) => charts.set(name, draw);
  async function saveNamed(name, kind) {
    const svg = charts.get(name)();
    const stage = h("div", { class: "offstage inf" }, svg);
    document.body.append(stage);
    try {
      await saveChart(svg, `inficond ${name}`, kind);
    } finally {
      stage.remove();
    }
  }

  /** The heading of a chart: what it shows, its columns as `[x, text, anchor]`, its colours as `[variable, text]`. */
  function heading(title, columns = [], colours = []) {
    let x = 10;
    return s("g", {}, s("text", { x: 10, y: 20, "font-size": 13, "font-weight": 600 }, title),
      colours.map(([colour, label]) => {
        const at = x;
        x += 26 + 6.4 * label.length;
        return [s("rect", { x: at, y: 31, width: 9, height: 9, rx: 2, fill: app.ui.colour(colour) }), s("text", { x: at + 13, y: 39.5, "font-size": 11 }, label)];
      }),
      columns.map(([at, label, anchor = "start"]) => s("text", { x: at, y: colours.length ? 58 : 40, "font-size": 11, "text-anchor": anchor, "fill-opacity": 0.75 }, label)));
  }

  /** Lay an evidence region over a picture of `w` x `hgt` pixels: all else is veiled, its border drawn.
      `cells` holds a digit per cell of the grid, row by row; `crop` is the part that the encoder saw, in shares. */
  function evidence(canvas, w, hgt, cells, grid, crop) {
    const ratio = window.devicePixelRatio || 1;
    canvas.width = w * ratio;
    canvas.height = hgt * ratio;
    canvas.style.width = `${w}px`;
    canvas.style.height = `${hgt}px`;
    if (!cells || !w) return;
    const g = canvas.getContext("2d");
    g.scale(ratio, ratio);
    const [rows, columns] = grid;
    const [l, t, r, b] = crop;
    const x0 = l * w, y0 = t * hgt, cw = ((r - l) * w) / columns, ch = ((b - t) * hgt) / rows;
    const on = (x, y) => x >= 0 && y >= 0 && x < columns && y < rows && cells[y * columns + x] === "1";
    g.fillStyle = "rgba(8,14,22,.56)";
    g.fillRect(0, 0, w, hgt);
    g.strokeStyle = "#fff";
    g.lineWidth = 2;
    g.beginPath();
    for (let y = 0; y < rows; y++) for (let x = 0; x < columns; x++) {
      if (!on(x, y)) continue;
      const X = x0 + x * cw, Y = y0 + y * ch;
      g.clearRect(X - 0.3, Y - 0.3, cw + 0.6, ch + 0.6);
      if (!on(x, y - 1)) { g.moveTo(X, Y); g.lineTo(X + cw, Y); }
      if (!on(x, y + 1)) { g.moveTo(X, Y + ch); g.lineTo(X + cw, Y + ch); }
      if (!on(x - 1, y)) { g.moveTo(X, Y); g.lineTo(X, Y + ch); }
      if (!on(x + 1, y)) { g.moveTo(X + cw, Y); g.lineTo(X + cw, Y + ch); }
    }
    g.stroke();
  }

  /** Rows of contributions, their bars on a scale of their own: bias and logit would dwarf them, and stand in `logit`.
      `make(bar)` makes a row's element, which gets a name, a bar and a number. */
  function contributions(list, bars, make) {
    const rows = bars.filter((b) => b.kind === "concept" || b.kind === "rest");
    const top = Math.max(0.1, ...rows.map((b) => Math.abs(b.value)));
    const create = (b) => {
      const node = make(b);
      node.classList.add("contribution");
      node.append(h("span", { class: "cut", "data-name": "" }), h("span", { class: "cbar" }, h("i")), h("span", { class: "right" }));
      return node;
    };
    keyed(list, rows, (b) => b.key, create, (node, b) => {
      const [name, bar, number] = node.children;
      const share = (50 * Math.abs(b.value)) / top;
      text(name, b.name);
      name.title = b.more || b.name;
      Object.assign(bar.firstElementChild.style, { left: b.value < 0 ? `${50 - share}%` : "50%", width: `${share}%` });
      bar.firstElementChild.className = b.value < 0 ? "neg" : "pos";
      text(number, fmt.signed(b.value));
      const concept = b.kind === "concept";
      node.classList.toggle("total", !concept);
      attr(node, "data-contribution", concept ? b.name : null);
      attr(node, "tabindex", concept ? "0" : null);
      attr(node, "aria-label", `${b.name}: ${fmt.signed(b.value)}${b.evidence ? ", show where it is seen" : ""}`);
    });
  }

  /** What the contributions come to: with the bias, the logit. */
  function logit(line, bars) {
    const of = (kind) => { const b = bars.find((one) => one.kind === kind); return b ? fmt.signed(b.value) : "–"; };
    line.replaceChildren(h("span", {}, "with the bias ", h("b", {}, of("bias"))), h("span", {}, app.ui.term("logit"), " ", h("b", {}, of("sum"))));
  }

  app.chart = { ceilNice, evidence, contributions, logit, heading, offer, saveNamed, names: () => [...charts.keys()] };
})();
