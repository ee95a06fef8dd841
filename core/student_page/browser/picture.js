/** Decoding of pictures by the browser. */

/**
 * @typedef {import("./resample.js").Pixels} Pixels
 * @typedef {{pixels: Pixels, canvas: HTMLCanvasElement, jpeg: boolean}} Picture
 */

const MAX_PIXELS = 100_000_000;

/**
 * Decode a picture upright, on white, without colour conversion.
 * @param {Blob} file
 * @returns {Promise<Picture>}
 */
export async function decode(file) {
  const bitmap = await createImageBitmap(file, {
    imageOrientation: "from-image",
    colorSpaceConversion: "none",
    premultiplyAlpha: "none",
  });
  const { width, height } = bitmap;
  if (width * height > MAX_PIXELS) {
    bitmap.close();
    throw new Error(`it has ${width}×${height} pixels; ${MAX_PIXELS / 1e6} million is the most`);
  }
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (context === null) throw new Error("it is too large for this browser");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const { data } = context.getImageData(0, 0, width, height);
  const rgb = new Uint8ClampedArray(width * height * 3);
  for (let from = 0, to = 0; from < data.length; from += 4, to += 3) {
    rgb[to] = data[from];
    rgb[to + 1] = data[from + 1];
    rgb[to + 2] = data[from + 2];
  }
  return { pixels: { width, height, data: rgb }, canvas, jpeg: file.type === "image/jpeg" };
}
