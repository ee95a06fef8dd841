/* Marks that several views draw, and charts as files. All marks are SVG with colours from the theme's variables. */
(() => {
  const app = window.inficond;
  const { s, h } = app.dom;

  /** One SVG path of round dots (with stroke-linecap: round, a stroke of length 0 is a dot): cheap for thousands. */
  function dots(xs, ys) {
    let d = "";
    for (let i = 0; i < xs.length; i++) d += `M${xs[i].toFixed(1)} ${ys[i].toFixed(1)}h0`;
    return d;
  }

  /** Stack dots that would overlap: the height of each above the base line (in steps), in the order given. */
  function pile(xs, width, steps) {
    const level = new Map();
    const out = new Array(xs.length);
    const order = xs.map((_, i) => i).sort((a, b) => xs[a] - xs[b]);
    for (const i of order) {
      const bin = Math.round(xs[i] / width);
      const n = level.get(bin) || 0;
      level.set(bin, n + 1);
      out[i] = n % steps;
    }
    return out;
  }

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

  app.chart = { dots, pile, ceilNice, offer, saveNamed, names: () => [...charts.keys()] };
})();
