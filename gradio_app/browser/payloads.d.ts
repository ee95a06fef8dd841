/** Types of the data that the server sends: see `view.py` of each view, `presenters.py` and `rpc.py`. */

export type SubsetName = "agree-pos" | "agree-neg" | "missed" | "extra";
export type Counts = Record<SubsetName, number>;

export interface Selection {
  cls: string | null;
  subset: string | null;
  slice: string | null;
  concepts: string[];
  image: string | null;
  scope: string | null;
  actual: string | null;
  predicted: string | null;
  reference: string | null;
  /** Images that changed in a comparison: both sides and the kind of change, separated by "~". */
  moved: string | null;
  area: string | null;
}

export interface PartInfo {
  depends: string[];
  slow: number;
}

export interface Brush {
  concept: string;
  low: number;
  high: number;
  at: [from: number, to: number];
  rows: Set<number>;
}

/** The subset or slice that a refit emphasizes, as `core.tuning` describes it. */
export type Focus = string | object | null;

export interface PendingAction {
  kind: string;
  concept: string;
  /** Strength or weight. */
  value?: number;
  /** The weight that the action requests, before the refit. */
  requested: number;
  /** Of an action on a group: its concepts. */
  members?: { concept: string; requested: number }[];
  suggested?: boolean;
}

export interface Change {
  label: string;
  before: string;
  after: string;
  delta: string;
  range: string;
  clear: boolean;
  better: boolean;
  more: string;
  count?: boolean;
}

export interface CostRow {
  cells: string[];
  line: string;
}

export interface Preview {
  error?: string;
  weights?: Record<string, number>;
  changes?: Change[];
  costs?: CostRow[];
}

export interface State {
  selection: Selection;
  /** What the server returned last. */
  parts: Partial<Parts>;
  catalogue: Record<string, PartInfo>;
  info: {
    glossary: Record<string, string>;
    project: string;
    demo: boolean;
    oneHistory: boolean;
    fresh: boolean;
  };
  /** Identifies the visitor. */
  token: string | null;
  /** The hovered concept. */
  hover: string | null;
  brush: Brush | null;
  /** Tuning actions of the selected class that are not applied yet. */
  pending: PendingAction[];
  /** The same of classes that were left. */
  unapplied: Map<string | null, { pending: PendingAction[]; focus: Focus }>;
  focus: Focus;
  preview: Preview | null;
}

export interface Facts {
  facts: { label: string; value: string; term?: string; more?: string }[];
  bars: { name: string; n: number }[];
  bars_title: string;
  added: string[];
  projects: { key: string; name: string }[];
  project: string;
  name: string;
  lam: number;
  threshold: number | "matched";
  note: string;
}

export interface Interval {
  value: number | null;
  low: number | null;
  high: number | null;
}

export interface ClassLine {
  name: string;
  nec: number;
  counts: Counts;
  ap: Interval;
  balanced_agreement: Interval;
  f1: Interval;
  agreement: Interval;
  truth: { teacher: number | null; student: number | null } | null;
  notes: string[];
}

export interface Table {
  classes: ClassLine[];
  labelled: boolean;
}

/** Held-out images by actual and predicted class; null where the classes do not exclude each other. */
export interface ConfusionTable {
  reference: "label" | "teacher";
  references: ("label" | "teacher")[];
  classes: string[];
  totals: number[];
  cells: { actual: number; predicted: number; n: number }[];
  n: number;
  accuracy: number | null;
  without_class: number;
}

export interface Slices {
  cls: string;
  slices: {
    id: string;
    side: string;
    short: string;
    text: string;
    size: number;
    agreement: number;
    rest: number;
  }[];
}

/** Rows of bytes between a lowest and a highest value each. */
export interface Quantised {
  low: number[];
  high: number[];
  bytes: string;
}

export interface Points {
  rows: string;
  sides: string;
  concepts: string[];
  values: Quantised;
}

export interface InfluenceRow {
  name: string;
  group: string;
  weight: number;
  gap: number | null;
  added: boolean;
}

export interface Influence {
  cls: string;
  part: string;
  rows: InfluenceRow[];
  n_active: number;
  n_concepts: number;
  points: Points | null;
}

/** Strengths of an action with the weight that each requests. */
export type Strengths = Record<"up" | "down", { value: number; requested: number }[]>;

export interface TuningRow {
  name: string;
  weight: number;
  heading?: string | null;
  bound: { kind: string; lower: number | null; upper: number | null; text: string } | null;
  strengths: Strengths;
}

export interface Tuning {
  cls: string;
  rows: TuningRow[];
  /** Of a concept without weight. */
  strengths: Strengths;
  focuses: { id: string; label: string; focus: Focus; usable: boolean; hint: string }[];
  now: { label: string; value: string; term: string }[];
}

export interface Suggestion {
  text: string;
  actions: PendingAction[];
  gain: string;
  clear: boolean;
  more: string;
  costs: CostRow[];
}

/** The exam of the current student; see `exam.py`. */
export interface Exam {
  /** Why there is none; empty if the project has exam images. */
  unavailable: string;
  images: number;
  taken: number;
  about: string[];
  /** Whether the figures are those of the current student. */
  current: boolean;
  lines: string[];
  tables: { title: string; head: string[]; rows: { cells: string[]; strong: boolean }[] }[];
}

export interface GalleryIndex {
  n: number;
  rows: string;
  ids: string[];
  held_out: string;
  tile: number;
  columns: number;
  per_sheet: number;
  sheets: (string | null)[];
}

export interface Gallery {
  rows: string;
  teacher: string;
  student: string;
  codes: string;
  counts: Counts;
  total: number;
  caption: string;
  /** Classes by whose labels the images can be filtered. */
  labels: string[];
  filters: { field: "actual" | "predicted" | "moved" | "area"; text: string }[];
}

/** Two confused classes; see `class_matrix.py`. */
export interface ConfusedPair {
  actual: string;
  predicted: string;
  images: number;
  share: number;
  line: string;
  advice: string;
  kind: "unused" | "alike" | "missing" | "used" | "few";
  concept: string | null;
  shared: string[];
}

/** The weights of all classes that are not 0, and orders of classes and concepts. */
export interface ClassMatrix {
  classes: string[];
  concepts: string[];
  groups: string[];
  n_concepts: number;
  rows: string;
  columns: string;
  weights: string;
  class_order: string;
  concept_order: string;
  exclusive: boolean;
  pairs: ConfusedPair[];
}

/** Positions of all images in the unit square; see `image_map.py`. */
export interface ImageMap {
  unavailable: string;
  n: number;
  layout: string;
  x: string;
  y: string;
  about: string;
  labelled: boolean;
}

/** A category or a value of each image. */
export interface MapColours {
  by: string;
  kind: "subsets" | "categories" | "values";
  title: string;
  codes: string;
  names: string[];
  low: number;
  high: number;
}

/** Thumbnails of some images as one picture. */
export interface MapTiles {
  rows: number[];
  url: string;
  tile: number;
  columns: number;
}

export interface Bar {
  key: string;
  name: string;
  value: number;
  kind: "concept" | "rest" | "bias" | "sum";
  more: string;
  evidence?: boolean;
  /** Of a concept whose value is below the mean: there is no region that shows it. */
  absence?: string;
  /** Of a concept that is seen in no single place of the image: the line in place of a region. */
  unclear?: string;
  /** The word before the name of such a concept: "no" below half of the mean. */
  absent?: "no" | "less";
}

export interface Evidence {
  score: number;
  cells: string;
}

export interface Opened {
  id: string;
  row: number;
  url: string;
  teacher: number;
  student: number;
  label: boolean | null;
  classes: { name: string; teacher: number; student: number; label: boolean }[];
  bars: Bar[];
  evidence: Record<string, Evidence>;
  first: string | null;
  grid: [rows: number, columns: number];
  crop: [left: number, top: number, right: number, bottom: number];
  validation: boolean;
}

export interface OwnImage {
  name: string;
  url: string;
  /** Names the image in requests. */
  key: string;
  /** The region of each cell of the grid, row by row. */
  regions: number[];
  line: string;
  rows: { name: string; teacher: number; student: number; bars: Bar[] }[];
  evidence: Record<string, Evidence>;
  grid: [rows: number, columns: number];
  crop: [left: number, top: number, right: number, bottom: number];
}

export type Edge = [from: number, to: number, kind: "up" | "down" | "through" | "join", current: boolean];

export interface StepNode {
  id: string;
  name: string;
  text: string;
  more: string;
  when: string;
  on_branch: boolean;
  lane: number;
  edges: Edge[];
  gain: string;
  gain_more: string;
}

export interface Tree {
  nodes: StepNode[];
  current: string;
  can_undo: boolean;
  can_redo: boolean;
  lanes: number;
}

export interface StepChange {
  clear: boolean;
  better: boolean;
  more: string;
}

export interface ComparedMetric {
  label: string;
  a: string;
  b: string;
  delta: string;
  range: string;
  verdict: "better" | "worse" | "no clear change" | "";
}

/** Two sides on the same images; see `comparison.py`. */
export interface Comparison {
  sides: { id: string; text: string; group: string }[];
  a: string;
  b: string;
  /** Why there is nothing to compare; empty if there is. */
  problem: string;
  lines: string[];
  cls: string;
  mean: ComparedMetric[];
  metrics: ComparedMetric[];
  kinds: { id: string; label: string; meaning: string }[];
  changed: { cls: string; counts: number[]; same: string }[];
  weights: { concept: string; a: number | null; b: number | null; change: number }[];
  n_weights: number;
}

export interface Job {
  state: "running" | "done" | "failed" | "cancelled";
  stage: string;
  done: number;
  total: number;
  left: number | null;
  line: string;
  notes: string[];
  result: unknown;
}

export interface Parts {
  "configuration.facts": Facts;
  "performance.table": Table;
  "performance.confusion": ConfusionTable | null;
  "performance.slices": Slices;
  "influence.rows": Influence;
  "tuning.state": Tuning;
  "tuning.words": { names: string[] };
  "tuning.suggestions": { suggestions: Suggestion[]; harmless: Suggestion[] };
  "tuning.missing": { words: { word: string; more: string }[] };
  "instances.index": GalleryIndex;
  "instances.gallery": Gallery;
  "instances.ids": { ids: string[] };
  "instances.values": { rows: string; concepts: string[]; values: Quantised };
  "instances.opened": Opened | null;
  "provenance.tree": Tree;
  "provenance.changes": { changes: Record<string, StepChange> };
}

/** A word of the dialog "Which words?". */
export interface ProposedWord {
  word: string;
  /** The name that a person gave it, or the word. */
  label: string;
  cls: string;
  text: string;
  concept: boolean;
  valid: boolean;
}

/** A region of an image: the image's id and the region's number, -1 for the whole image. */
export type Example = [image: string, region: number];

/** A discovered concept of the dialog "Concepts without words". */
export interface FoundConcept {
  cls: string;
  text: string;
  names: string[];
  crops: string[];
  shown: Example[];
}

/** The region of an image at a place. */
export interface PickedRegion {
  image: string;
  region: number;
  cells: string;
}
