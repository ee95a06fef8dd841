/** From a picture of any size to the encoder's input, as `core/models/preprocess.py` does it. */

import { reduce, resize, resizeWithGap } from "./resample.js";

/**
 * @typedef {import("./types.d.ts").ImageInput} ImageInput
 * @typedef {import("./resample.js").Pixels} Pixels
 * @typedef {import("./resample.js").Box} Box
 */

const MAX_RESIZED = 16_000_000;

/**
 * Reduce a JPEG as its decoder does in Python: by 8, 4 or 2 while the shorter side keeps twice the resized
 * length. Python reduces in the frequency domain, so these pixels differ by rounding.
 * @param {Pixels} picture
 * @param {ImageInput} image
 * @returns {Pixels}
 */
export function reduceLarge(picture, image) {
  const atLeast = 2 * (typeof image.resize === "number" ? image.resize : Math.max(...image.resize));
  const ratio = Math.floor(Math.min(picture.width, picture.height) / atLeast);
  const factor = [8, 4, 2].find((candidate) => ratio >= candidate) ?? 1;
  if (factor === 1) return picture;
  return reduce(picture, factor, factor, [0, 0, picture.width, picture.height]);
}

/**
 * Resize and centre crop a picture.
 * @param {Pixels} picture
 * @param {ImageInput} image
 * @returns {Pixels} Of the encoder's input size.
 */
export function preprocess(picture, image) {
  const [height, width] = image.size;
  const [across, down] = resizedSize(picture, image);
  if (image.reducing_gap === null && image.crop !== null && across * down <= MAX_RESIZED) {
    const whole = resize(picture, across, down, image.interpolation, [0, 0, picture.width, picture.height]);
    return crop(
      whole,
      cropStart(across, image.crop[1], image),
      cropStart(down, image.crop[0], image),
      width,
      height,
    );
  }
  const box = keptBox(picture, image);
  if (image.reducing_gap === null) return resize(picture, width, height, image.interpolation, box);
  return resizeWithGap(picture, width, height, image.interpolation, box, image.reducing_gap);
}

/**
 * Part of a picture that the encoder sees.
 * @param {{width: number, height: number}} picture
 * @param {ImageInput} image
 * @returns {Box}
 */
export function keptBox(picture, image) {
  if (image.crop === null) return [0, 0, picture.width, picture.height];
  const [across, down] = resizedSize(picture, image);
  const left = cropStart(across, image.crop[1], image);
  const top = cropStart(down, image.crop[0], image);
  return [
    (left * picture.width) / across,
    (top * picture.height) / down,
    (Math.min(left + image.crop[1], across) * picture.width) / across,
    (Math.min(top + image.crop[0], down) * picture.height) / down,
  ];
}

/**
 * @param {{width: number, height: number}} picture
 * @param {ImageInput} image
 * @returns {[number, number]} Width and height before the crop.
 */
function resizedSize(picture, image) {
  if (typeof image.resize !== "number") return [image.resize[1], image.resize[0]];
  const shorter = Math.min(picture.width, picture.height);
  return [
    Math.floor((image.resize * picture.width) / shorter),
    Math.floor((image.resize * picture.height) / shorter),
  ];
}

/**
 * Offset of a centre crop, rounded as the model's library rounds it.
 * @param {number} resized
 * @param {number} kept
 * @param {ImageInput} image
 */
function cropStart(resized, kept, image) {
  const spare = Math.max(0, resized - kept);
  if (spare % 2 === 0 || image.crop_offset === "floor") return Math.floor(spare / 2);
  const lower = Math.floor(spare / 2);
  return lower % 2 === 0 ? lower : lower + 1; // half to even
}

/**
 * Cut out a part of a picture; pixels outside of it are black.
 * @param {Pixels} picture
 * @param {number} left
 * @param {number} top
 * @param {number} width
 * @param {number} height
 * @returns {Pixels}
 */
function crop(picture, left, top, width, height) {
  const data = new Uint8ClampedArray(width * height * 3);
  for (let y = 0; y < Math.min(height, picture.height - top); y++) {
    const start = ((y + top) * picture.width + left) * 3;
    const length = Math.min(width, picture.width - left) * 3;
    data.set(picture.data.subarray(start, start + length), y * width * 3);
  }
  return { width, height, data };
}
