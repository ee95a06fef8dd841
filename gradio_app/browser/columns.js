/** Decoding of number columns, which the server sends as base64 (see `serialization.py`). */

/** @param {string} packed */
function bytesOf(packed) {
  const binary = atob(packed);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

/**
 * Decode unsigned bytes.
 * @param {string} packed
 */
export const unpackBytes = (packed) => bytesOf(packed);

/**
 * Decode little-endian 32-bit integers.
 * @param {string} packed
 */
export const unpackIntegers = (packed) => new Int32Array(bytesOf(packed).buffer);

/**
 * Decode little-endian 32-bit floating-point numbers.
 * @param {string} packed
 */
export const unpackFloats = (packed) => new Float32Array(bytesOf(packed).buffer);

/**
 * Decode numbers in [0, 1] that were sent as 16-bit integers.
 * @param {string} packed
 */
export const unpackShares = (packed) =>
  Float32Array.from(new Uint16Array(bytesOf(packed).buffer), (v) => v / 65535);
