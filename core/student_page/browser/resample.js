/**
 * Resizing of 8-bit pictures with the arithmetic of Pillow (`src/libImaging/Resample.c`, `Reduce.c`), so that
 * a picture gives the same pixels here and in Python.
 */

/**
 * @typedef {{width: number, height: number, data: Uint8ClampedArray | Uint8Array}} Pixels RGB, row by row.
 * @typedef {[number, number, number, number]} Box left, top, right, bottom in pixels.
 * @typedef {"bicubic" | "bilinear" | "lanczos" | "nearest"} Interpolation
 */

const PRECISION_BITS = 22;

/** @param {number} x */
function sinc(x) {
  return x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI);
}

/** @type {Record<string, {support: number, weight: (x: number) => number}>} */
const FILTERS = {
  bilinear: { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  bicubic: {
    support: 2,
    weight: (signed) => {
      const x = Math.abs(signed);
      if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
      return x < 2 ? (((x - 5) * x + 8) * x - 4) * -0.5 : 0;
    },
  },
  lanczos: { support: 3, weight: (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0) },
};

/**
 * Integer filter weights of one axis.
 * @param {number} size Length of the input.
 * @param {number} start First coordinate of the box.
 * @param {number} end Last coordinate of the box.
 * @param {number} out Length of the output.
 * @param {Interpolation} name
 * @returns {{first: number, weights: Int32Array}[]}
 */
function axisWeights(size, start, end, out, name) {
  const filter = FILTERS[name];
  const scale = Math.fround(end - start) / out;
  const stretch = Math.max(scale, 1);
  const narrow = 1 / stretch;
  const support = filter.support * stretch;
  return Array.from({ length: out }, (_, i) => {
    const centre = start + (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support + 0.5));
    const last = Math.min(size, Math.trunc(centre + support + 0.5));
    const weights = new Float64Array(last - first);
    let total = 0;
    for (let j = 0; j < weights.length; j++) {
      weights[j] = filter.weight((j + first - centre + 0.5) * narrow);
      total += weights[j];
    }
    const integers = new Int32Array(weights.length);
    for (let j = 0; j < weights.length; j++) {
      const share = total === 0 ? weights[j] : weights[j] / total;
      integers[j] = Math.trunc(share * 2 ** PRECISION_BITS + (share < 0 ? -0.5 : 0.5));
    }
    return { first, weights: integers };
  });
}

/**
 * Filter one axis of a picture.
 * @param {Pixels} picture
 * @param {{first: number, weights: Int32Array}[]} axis
 * @param {boolean} across Whether the rows are filtered, else the columns.
 * @returns {Pixels}
 */
function filterAxis(picture, axis, across) {
  const width = across ? axis.length : picture.width;
  const height = across ? picture.height : axis.length;
  const data = new Uint8ClampedArray(width * height * 3);
  const step = across ? 3 : picture.width * 3;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const { first, weights } = axis[across ? x : y];
      const start = across ? y * picture.width * 3 + first * 3 : first * step + x * 3;
      for (let channel = 0; channel < 3; channel++) {
        let sum = 1 << (PRECISION_BITS - 1);
        for (let j = 0, at = start + channel; j < weights.length; j++, at += step) {
          sum += picture.data[at] * weights[j];
        }
        data[(y * width + x) * 3 + channel] = sum >> PRECISION_BITS;
      }
    }
  }
  return { width, height, data };
}

/**
 * Pick the nearest pixels.
 * @param {Pixels} picture
 * @param {number} width
 * @param {number} height
 * @param {Box} box
 * @returns {Pixels}
 */
function nearest(picture, width, height, box) {
  const across = positions(width, box[0], box[2]);
  const down = positions(height, box[1], box[3]);
  const data = new Uint8ClampedArray(width * height * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const from = (down[y] * picture.width + across[x]) * 3;
      for (let channel = 0; channel < 3; channel++) {
        data[(y * width + x) * 3 + channel] = picture.data[from + channel];
      }
    }
  }
  return { width, height, data };
}

/**
 * @param {number} out
 * @param {number} start
 * @param {number} end
 */
function positions(out, start, end) {
  const step = (end - start) / out;
  const found = new Int32Array(out);
  let at = start + step * 0.5;
  for (let i = 0; i < out; i++, at += step) found[i] = Math.trunc(at);
  return found;
}

/**
 * Resize a part of a picture, as `PIL.Image.resize(size, filter, box)` does.
 * @param {Pixels} picture
 * @param {number} width
 * @param {number} height
 * @param {Interpolation} name
 * @param {Box} part
 * @returns {Pixels}
 */
export function resize(picture, width, height, name, part) {
  const box = /** @type {Box} */ (part.map(Math.fround)); // Pillow stores a box in single precision
  const whole = box[0] === 0 && box[1] === 0 && box[2] === picture.width && box[3] === picture.height;
  if (whole && width === picture.width && height === picture.height) return picture;
  if (name === "nearest") return nearest(picture, width, height, box);
  let result = picture;
  if (width !== picture.width || box[0] !== 0 || box[2] !== width) {
    result = filterAxis(result, axisWeights(picture.width, box[0], box[2], width, name), true);
  }
  if (height !== picture.height || box[1] !== 0 || box[3] !== height) {
    result = filterAxis(result, axisWeights(picture.height, box[1], box[3], height, name), false);
  }
  return result;
}

/**
 * Average blocks of pixels, as `PIL.Image.reduce(factor, box)` does.
 * @param {Pixels} picture
 * @param {number} across Width of a block.
 * @param {number} down Height of a block.
 * @param {Box} box Whole pixels.
 * @returns {Pixels}
 */
export function reduce(picture, across, down, box) {
  const width = Math.ceil((box[2] - box[0]) / across);
  const height = Math.ceil((box[3] - box[1]) / down);
  const data = new Uint8ClampedArray(width * height * 3);
  for (let y = 0; y < height; y++) {
    const top = box[1] + y * down;
    const bottom = Math.min(top + down, box[3]);
    for (let x = 0; x < width; x++) {
      const left = box[0] + x * across;
      const right = Math.min(left + across, box[2]);
      const count = (bottom - top) * (right - left);
      const multiplier = Math.floor(2 ** 24 / count);
      for (let channel = 0; channel < 3; channel++) {
        let sum = count >> 1;
        for (let row = top; row < bottom; row++) {
          for (let at = (row * picture.width + left) * 3 + channel, n = right - left; n > 0; n--, at += 3) {
            sum += picture.data[at];
          }
        }
        data[(y * width + x) * 3 + channel] = Math.floor((sum * multiplier) / 2 ** 24);
      }
    }
  }
  return { width, height, data };
}

const SUPPORT = { nearest: 0, bilinear: 1, bicubic: 2, lanczos: 3 };

/**
 * Resize a part of a picture that may be many times larger: it is first reduced by whole factors, as
 * `PIL.Image.resize(size, filter, box, reducing_gap)` does.
 * @param {Pixels} picture
 * @param {number} width
 * @param {number} height
 * @param {Interpolation} name
 * @param {Box} box
 * @param {number} gap
 * @returns {Pixels}
 */
export function resizeWithGap(picture, width, height, name, box, gap) {
  const across = Math.trunc((box[2] - box[0]) / width / gap) || 1;
  const down = Math.trunc((box[3] - box[1]) / height / gap) || 1;
  if (name === "nearest" || (across <= 1 && down <= 1)) return resize(picture, width, height, name, box);
  const spareX = (SUPPORT[name] - 0.5) * ((box[2] - box[0]) / width);
  const spareY = (SUPPORT[name] - 0.5) * ((box[3] - box[1]) / height);
  /** @type {Box} */
  const safe = [
    Math.max(0, Math.trunc(box[0] - spareX)),
    Math.max(0, Math.trunc(box[1] - spareY)),
    Math.min(picture.width, Math.ceil(box[2] + spareX)),
    Math.min(picture.height, Math.ceil(box[3] + spareY)),
  ];
  const reduced = reduce(picture, across, down, safe);
  return resize(reduced, width, height, name, [
    (box[0] - safe[0]) / across,
    (box[1] - safe[1]) / down,
    (box[2] - safe[0]) / across,
    (box[3] - safe[1]) / down,
  ]);
}
