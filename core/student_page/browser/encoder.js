/** Access to the encoder, which runs in a worker; all files are parts of the page itself. */

/** @typedef {import("./types.d.ts").Encoding} Encoding */

/** A module that uses one 128-bit instruction. */
const SIMD = [
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98,
  11,
];

/**
 * Reason why this browser cannot run the page, or "".
 * @returns {string}
 */
export function unsupported() {
  const advice = "Use a current Chrome, Edge, Firefox or Safari, or run `inficond predict`.";
  if (typeof WebAssembly !== "object") return `This browser does not run WebAssembly. ${advice}`;
  if (!WebAssembly.validate(new Uint8Array(SIMD))) {
    return `This browser does not run WebAssembly SIMD. ${advice}`;
  }
  if (typeof DecompressionStream !== "function") return `This browser cannot decompress files. ${advice}`;
  return "";
}

/**
 * Read an embedded file: gzip in base64.
 * @param {string} id Of its script element.
 * @returns {Promise<ArrayBuffer>}
 */
async function embedded(id) {
  const text = document.getElementById(id)?.textContent ?? "";
  const bytes = Uint8Array.from(atob(text.trim()), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

/** @param {ArrayBuffer} source */
function scriptAddress(source) {
  return URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
}

/**
 * Start the encoder.
 * @returns {Promise<(pixels: Uint8ClampedArray | Uint8Array, size: [number, number]) => Promise<Encoding>>}
 */
export async function startEncoder() {
  const [code, binary, graph] = await Promise.all(["worker", "binary", "graph"].map(embedded));
  const worker = new Worker(scriptAddress(code));
  /** @type {Map<number, {resolve: (value: any) => void, reject: (error: Error) => void}>} */
  const waiting = new Map();
  let count = 0;
  worker.onmessage = ({ data }) => {
    const call = waiting.get(data.id);
    waiting.delete(data.id);
    if (data.error === undefined) call?.resolve(data.result);
    else call?.reject(new Error(data.error));
  };
  worker.onerror = (event) => {
    for (const call of waiting.values()) call.reject(new Error(event.message || "the worker did not start"));
    waiting.clear();
  };
  /**
   * @param {object} message
   * @param {Transferable[]} transferred
   * @returns {Promise<any>}
   */
  const send = (message, transferred) =>
    new Promise((resolve, reject) => {
      waiting.set(++count, { resolve, reject });
      worker.postMessage({ id: count, ...message }, transferred);
    });
  await send({ kind: "start", binary, graph }, [binary, graph]);
  return (pixels, size) => send({ kind: "encode", pixels: Uint8Array.from(pixels), size }, []);
}
