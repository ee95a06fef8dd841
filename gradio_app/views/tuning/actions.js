/** Actions of the buttons and keys of a concept's row. */

import { pendingOn, propose } from "../../browser/tuning.js";

/** @typedef {import("../../browser/payloads").TuningRow} Row */

/**
 * Raise or lower a concept by one strength, or take an opposite action back by one.
 * @param {Row} row
 * @param {"up" | "down"} kind
 */
export function step(row, kind) {
  const action = pendingOn(row.name);
  const opposite = kind === "up" ? "down" : "up";
  const moving = action?.kind === opposite ? opposite : kind;
  const strengths = row.strengths[moving];
  const at = action?.kind === moving ? strengths.findIndex(({ value }) => value === action.value) : -1;
  const to = moving === kind ? Math.min(at + 1, strengths.length - 1) : at - 1;
  propose(row.name, to >= 0 ? { kind: moving, ...strengths[to] } : null);
}

/**
 * Mute or lock a concept, or take it back: a pending action is removed, a bound in force is lifted.
 * @param {Row} row
 * @param {"mute" | "lock"} kind
 */
export function toggle(row, kind) {
  const action = pendingOn(row.name);
  if (action?.kind === kind || action?.kind === "free") propose(row.name, null);
  else if (!action && row.bound?.kind === kind) propose(row.name, { kind: "free", requested: row.weight });
  else propose(row.name, { kind, requested: kind === "mute" ? 0 : row.weight });
}

/**
 * Tune a concept by a key that works at its slider and at its row in view 3. Returns whether the key does so.
 * @param {KeyboardEvent} event
 * @param {Row} row
 */
export function tuneByKey(event, row) {
  /** @type {Record<string, () => void>} */
  const actions = {
    m: () => toggle(row, "mute"),
    l: () => toggle(row, "lock"),
    "+": () => step(row, "up"),
    "=": () => step(row, "up"),
    "-": () => step(row, "down"),
    Delete: () => propose(row.name, null),
    Backspace: () => propose(row.name, null),
  };
  if (row.bound) actions.f = () => propose(row.name, { kind: "free", requested: row.weight });
  const run = actions[event.key];
  if (!run) return false;
  event.preventDefault();
  run();
  return true;
}
