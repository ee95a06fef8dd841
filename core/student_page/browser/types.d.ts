/** Preprocessing of the encoder, as in the metadata of an exported student. */
export interface ImageInput {
  size: [number, number];
  resize: number | [number, number];
  crop: [number, number] | null;
  interpolation: "bicubic" | "bilinear" | "lanczos" | "nearest";
  crop_offset: "floor" | "round";
  reducing_gap: number | null;
}

/** The student in the page. Classes are C, active concepts A. */
export interface Student {
  name: string;
  classes: string[];
  concepts: string[];
  link: "sigmoid" | "softmax";
  thresholds: number[];
  /** Per class: pairs of a concept's index and its standardised weight, the largest first. */
  weights: [number, number][][];
  bias: number[];
  mean: number[];
  scale: number[];
  image: ImageInput;
  /** Rows and columns of the encoder's cells. */
  grid: [number, number];
  regions: number;
}

/** What the worker returns for one picture. */
export interface Encoding {
  /** (R, A), row by row. */
  cosines: Float32Array;
  /** Region of each cell. */
  assignment: Uint8Array;
}

declare global {
  /** ONNX Runtime Web, in the worker. */
  // biome-ignore lint/suspicious/noExplicitAny: the runtime is vendored without its types
  const runtime: any;
}
