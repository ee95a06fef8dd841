/**
 * Runs the encoder beside the page's thread. Messages: `start` once, then `encode` for each picture. The constant
 * `runtime`, ONNX Runtime Web, is defined in front of this script.
 */

/** @type {any} */
let session;

self.onmessage = async ({ data }) => {
  try {
    if (data.kind === "start") {
      runtime.env.wasm.numThreads = 1;
      runtime.env.wasm.wasmBinary = data.binary;
      session = await runtime.InferenceSession.create(new Uint8Array(data.graph));
      self.postMessage({ id: data.id });
    } else {
      const [height, width] = data.size;
      const pixels = new runtime.Tensor("uint8", data.pixels, [1, height, width, 3]);
      const out = await session.run({ pixels }, ["student_cosines", "assignment"]);
      const cosines = Float32Array.from(out.student_cosines.data);
      self.postMessage({
        id: data.id,
        result: { cosines, assignment: Uint8Array.from(out.assignment.data) },
      });
    }
  } catch (error) {
    self.postMessage({ id: data.id, error: error instanceof Error ? error.message : String(error) });
  }
};
