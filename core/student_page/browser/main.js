/** The page of one student: drop a photograph, read the classes and their words, change what a word counts. */

import { startEncoder, unsupported } from "./encoder.js";
import { decode } from "./picture.js";
import { keptBox, preprocess, reduceLarge } from "./preprocess.js";
import { conceptValues, contributions, factorKey, probabilities } from "./student.js";

/**
 * @typedef {import("./types.d.ts").Student} Student
 * @typedef {import("./types.d.ts").Encoding} Encoding
 * @typedef {{values: Float64Array, evidence: boolean[][], assignment: Uint8Array, canvas: HTMLCanvasElement}} Shown
 */

const LONGEST = 960;
/** Number of words in the answer. */
const MOST_WORDS = 3;
/** Longer side of the picture on the page, in pixels. */
const OTHER = "rgba(10, 14, 20, 0.66)";
/** Colour over the cells that are not evidence. */

/** @type {Student} */
const student = JSON.parse(byId("student").textContent ?? "{}");
/** @type {Map<string, number>} */
const factors = new Map();
/** @type {Shown | null} */
let shown = null;
let chosen = 0;
/** Number of the newest picture; answers to older ones are dropped. */
let newest = 0;
/** @type {ReturnType<typeof startEncoder> | null} */
let starting = null;

/** @param {string} id */
function byId(id) {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no element ${id}`);
  return found;
}

/**
 * @param {string} tag
 * @param {string} className
 * @param {string} [text]
 */
function element(tag, className, text = "") {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

/** @param {number} share */
const percent = (share) => `${(100 * share).toFixed(share > 0.0995 && share < 0.9995 ? 0 : 1)} %`;
/** @param {number} number */
const signed = (number) => `${number < 0 ? "−" : "+"}${Math.abs(number).toFixed(2)}`;

/**
 * @param {string} text
 * @param {boolean} [bad]
 */
function say(text, bad = false) {
  byId("status").textContent = text;
  byId("status").classList.toggle("bad", bad);
}

/** @param {Blob} file */
async function show(file) {
  const number = ++newest;
  const name = file instanceof File && file.name ? file.name : "the picture";
  const begun = performance.now();
  try {
    say(`Reading ${name} …`);
    const picture = await decode(file).catch((error) => {
      const known = error instanceof Error && error.message.startsWith("it ");
      throw new Error(`${name} cannot be read: ${known ? error.message : "this browser cannot decode it"}`);
    });
    const whole = picture.jpeg ? reduceLarge(picture.pixels, student.image) : picture.pixels;
    const pixels = preprocess(whole, student.image).data;
    if (starting === null) say("Starting the encoder …");
    starting ??= startEncoder();
    const encode = await starting;
    if (number === newest) say(`Encoding ${name} …`);
    const encoding = await encode(pixels, student.image.size);
    if (number !== newest) return;
    const canvas = drawn(picture.canvas);
    shown = { ...conceptValues(encoding, student.concepts.length), assignment: encoding.assignment, canvas };
    chosen = best();
    buildWords();
    update();
    say(`${name}, encoded in ${((performance.now() - begun) / 1000).toFixed(1)} s`);
    document.body.dataset.answered = String(number);
  } catch (error) {
    if (number === newest) say(error instanceof Error ? error.message : String(error), true);
  }
}

/** @param {HTMLCanvasElement} source */
function drawn(source) {
  const scale = Math.min(1, LONGEST / Math.max(source.width, source.height));
  const canvas = /** @type {HTMLCanvasElement} */ (byId("photo"));
  canvas.width = Math.max(1, Math.round(source.width * scale));
  canvas.height = Math.max(1, Math.round(source.height * scale));
  canvas.getContext("2d")?.drawImage(source, 0, 0, canvas.width, canvas.height);
  const overlay = /** @type {HTMLCanvasElement} */ (byId("evidence"));
  overlay.width = canvas.width;
  overlay.height = canvas.height;
  document.body.classList.add("has-photo");
  return canvas;
}

function best() {
  const found = current();
  return found === null ? 0 : found.indexOf(Math.max(...found));
}

function current() {
  return shown === null ? null : probabilities(student, shown.values, factors);
}

/** Darken all cells except the evidence of a word. @param {number | null} concept */
function light(concept) {
  const overlay = /** @type {HTMLCanvasElement} */ (byId("evidence"));
  const context = overlay.getContext("2d");
  if (context === null || shown === null) return;
  context.clearRect(0, 0, overlay.width, overlay.height);
  if (concept === null || shown.values[concept] < student.mean[concept]) return;
  const [rows, columns] = student.grid;
  const [left, top, right, bottom] = keptBox(overlay, student.image);
  context.fillStyle = OTHER;
  context.fillRect(0, 0, overlay.width, overlay.height);
  for (let cell = 0; cell < rows * columns; cell++) {
    if (!shown.evidence[concept][shown.assignment[cell]]) continue;
    const x = left + ((right - left) * (cell % columns)) / columns;
    const y = top + ((bottom - top) * Math.floor(cell / columns)) / rows;
    context.clearRect(x, y, (right - left) / columns + 0.5, (bottom - top) / rows + 0.5);
  }
}

function buildClasses() {
  student.classes.forEach((name, cls) => {
    const item = element("li", "");
    const button = element("button", "class");
    button.append(element("span", "name", name), element("span", "track"), element("span", "share"));
    const track = button.children[1];
    const tick = element("span", "tick");
    tick.style.left = `${100 * Math.min(1, Math.max(0, student.thresholds[cls]))}%`;
    tick.title = `threshold ${percent(student.thresholds[cls])}`;
    track.append(element("span", "fill"), tick);
    button.addEventListener("click", () => {
      chosen = cls;
      buildWords();
      update();
    });
    item.append(button);
    byId("classes").append(item);
  });
}

function updateClasses() {
  const found = current();
  const order = student.classes.map((_, cls) => cls);
  if (found !== null) order.sort((a, b) => found[b] - found[a] || a - b);
  const items = /** @type {HTMLElement[]} */ ([...byId("classes").children]);
  items.forEach((item, cls) => {
    item.style.order = String(order.indexOf(cls));
    const button = /** @type {HTMLElement} */ (item.firstElementChild);
    const share = found === null ? 0 : found[cls];
    const yes = found !== null && share >= student.thresholds[cls];
    button.classList.toggle("yes", yes);
    button.setAttribute("aria-pressed", String(cls === chosen));
    button.dataset.probability = found === null ? "" : String(share);
    /** @type {HTMLElement} */ (button.querySelector(".fill")).style.width = `${100 * share}%`;
    const label = found === null ? "" : percent(share) + (yes ? " ✓" : "");
    /** @type {HTMLElement} */ (button.querySelector(".share")).textContent = label;
  });
}

function buildWords() {
  byId("words-title").textContent = `Words of “${student.classes[chosen]}”`;
  const list = byId("words");
  list.replaceChildren();
  for (const [concept, original] of student.weights[chosen]) {
    const row = element("li", "word");
    row.dataset.concept = String(concept);
    const name = student.concepts[concept];
    const slider = document.createElement("input");
    Object.assign(slider, { type: "range", min: "0", max: "2", step: "0.05" });
    slider.value = String(factors.get(factorKey(chosen, concept)) ?? 1);
    slider.setAttribute("aria-label", `weight of ${name} in ${student.classes[chosen]}`);
    const numbers = element("span", "numbers");
    numbers.append(element("span", "weight"), element("span", "contribution"));
    const bar = element("span", "bar");
    bar.append(element("span", "part"));
    row.append(element("span", "name", name), slider, bar, numbers);
    slider.addEventListener("input", () => {
      const factor = Number(slider.value);
      if (factor === 1) factors.delete(factorKey(chosen, concept));
      else factors.set(factorKey(chosen, concept), factor);
      slider.setAttribute("aria-valuetext", `weight ${signed(original * factor)}`);
      update();
    });
    row.addEventListener("pointerenter", () => light(concept));
    row.addEventListener("pointerleave", () => light(null));
    row.addEventListener("focusin", () => light(concept));
    row.addEventListener("focusout", () => light(null));
    list.append(row);
  }
  byId("no-words").hidden = student.weights[chosen].length > 0;
}

function updateWords() {
  const values = shown?.values ?? Float64Array.from(student.mean);
  const all = contributions(student, chosen, values, factors);
  const largest = Math.max(1e-9, ...all.map((c) => Math.abs(c.contribution)));
  const rows = /** @type {HTMLElement[]} */ ([...byId("words").children]);
  rows.forEach((row, i) => {
    const { concept, weight, value, contribution } = all[i];
    const absent = shown !== null && value < student.mean[concept];
    row.classList.toggle("absent", absent);
    row.classList.toggle("changed", factors.has(factorKey(chosen, concept)));
    const part = /** @type {HTMLElement} */ (row.querySelector(".part"));
    part.style.width = shown === null ? "0" : `${(50 * Math.abs(contribution)) / largest}%`;
    part.classList.toggle("against", contribution < 0);
    /** @type {HTMLElement} */ (row.querySelector(".weight")).textContent = `weight ${signed(weight)}`;
    const kind = `adds ${signed(contribution)}${absent ? ", absent" : ""}`;
    /** @type {HTMLElement} */ (row.querySelector(".contribution")).textContent = shown === null ? "" : kind;
    row.title = absent
      ? `No region shows it: value ${value.toFixed(2)}, mean ${student.mean[concept].toFixed(2)}`
      : "";
  });
  byId("reset").hidden = factors.size === 0;
}

/** Write the likeliest class, and the words of the picture that add most to it. */
function updateAnswer() {
  const found = current();
  if (shown === null || found === null) return;
  const cls = best();
  const { values } = shown;
  const words = contributions(student, cls, values, factors)
    .filter(({ concept, contribution }) => contribution > 0 && values[concept] >= student.mean[concept])
    .sort((a, b) => b.contribution - a.contribution)
    .slice(0, MOST_WORDS)
    .map(({ concept }) => student.concepts[concept]);
  const adding = words.length > 0 ? ` Words that add most: ${words.join(", ")}.` : "";
  byId("answer").textContent = `Likeliest class: ${student.classes[cls]}, ${percent(found[cls])}.${adding}`;
}

function update() {
  updateClasses();
  updateWords();
  updateAnswer();
}

function listen() {
  const input = /** @type {HTMLInputElement} */ (byId("file"));
  input.addEventListener("change", () => {
    if (input.files?.[0]) show(input.files[0]);
    input.value = "";
  });
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("dragging");
  });
  document.addEventListener("dragleave", () => document.body.classList.remove("dragging"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dragging");
    const file = event.dataTransfer?.files[0];
    if (file) show(file);
    else say("Drop a picture file; a link or a text cannot be read.", true);
  });
  document.addEventListener("paste", (event) => {
    const file = event.clipboardData?.files[0];
    if (file) show(file);
  });
  byId("reset").addEventListener("click", () => {
    factors.clear();
    buildWords();
    update();
  });
}

/** Draw the page; called once. */
export function start() {
  buildClasses();
  buildWords();
  update();
  const reason = unsupported();
  if (reason) {
    say(reason, true);
    /** @type {HTMLInputElement} */ (byId("file")).disabled = true;
    return;
  }
  listen();
  starting = startEncoder();
  starting.then(
    () => shown ?? say("Ready."),
    (error) => say(`The encoder does not start: ${error.message}. Reload the page.`, true),
  );
  say("Starting the encoder …");
}
