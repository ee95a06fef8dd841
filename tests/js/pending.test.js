import assert from "node:assert/strict";
import { test } from "node:test";
import {
  affects,
  asRequest,
  requestedWeight,
  withAction,
  withSuggestion,
} from "../../gradio_app/browser/pending.js";

const WATER = {
  kind: "up",
  concept: "group:water",
  value: 2,
  requested: 0.5,
  members: [
    { concept: "sea", requested: 0.5 },
    { concept: "lake", requested: 0.7 },
    { concept: "river", requested: 0.9 },
  ],
};
const MUTE = { kind: "mute", requested: 0 };

test("an action replaces the one on the same concept", () => {
  const once = withAction([], "dock", MUTE);
  const twice = withAction(once, "dock", { kind: "lock", requested: 0.3 });
  assert.deepEqual(twice, [{ kind: "lock", requested: 0.3, concept: "dock" }]);
  assert.deepEqual(withAction(twice, "dock", null), []);
});

test("an action on a member splits the action on its group", () => {
  const pending = withAction([WATER], "lake", MUTE);
  assert.deepEqual(
    pending.map(({ kind, concept, requested }) => [kind, concept, requested]),
    [
      ["up", "sea", 0.5],
      ["up", "river", 0.9],
      ["mute", "lake", 0],
    ],
  );
  assert.ok(pending.every((action) => !("members" in action)));
});

test("an action on another concept leaves the group as it is", () => {
  assert.deepEqual(withAction([WATER], "dock", MUTE)[0], WATER);
});

test("a suggestion replaces the suggestion before it and own actions on its concepts only", () => {
  const own = [
    { kind: "lock", concept: "sea", requested: 1 },
    { kind: "lock", concept: "dock", requested: 1 },
  ];
  const first = withSuggestion(own, [WATER]);
  assert.deepEqual(
    first.map((action) => action.concept),
    ["dock", "group:water"],
  );
  const second = withSuggestion(first, [{ ...MUTE, concept: "bird" }]);
  assert.deepEqual(
    second.map((action) => action.concept),
    ["dock", "bird"],
  );
});

test("the requested weight of a member is its own", () => {
  assert.ok(affects(WATER, "river") && !affects(WATER, "dock"));
  assert.equal(requestedWeight(WATER, "river"), 0.9);
  assert.equal(requestedWeight({ ...MUTE, concept: "dock" }, "dock"), 0);
});

test("a request holds only what the server reads", () => {
  assert.deepEqual(asRequest([{ ...WATER, suggested: true }]), [
    { kind: "up", concept: "group:water", value: 2 },
  ]);
});
