/** Changes of a list of pending tuning actions. */

/** @typedef {import("./payloads").PendingAction} PendingAction */

/**
 * Return whether an action is on a concept, alone or as a member of its group.
 * @param {PendingAction} action
 * @param {string} concept
 */
export const affects = (action, concept) =>
  action.concept === concept || Boolean(action.members?.some((member) => member.concept === concept));

/**
 * Return the weight that an action requests for a concept, before the refit.
 * @param {PendingAction} action
 * @param {string} concept
 */
export const requestedWeight = (action, concept) =>
  action.members?.find((member) => member.concept === concept)?.requested ?? action.requested;

/**
 * Set the action on one concept; null removes it. An action on the concept's group becomes one on each of its
 * other members.
 * @param {PendingAction[]} pending
 * @param {string} concept
 * @param {Omit<PendingAction, "concept"> | null} action
 * @returns {PendingAction[]}
 */
export function withAction(pending, concept, action) {
  const others = pending.flatMap((one) => {
    if (!affects(one, concept)) return [one];
    const { members = [], ...rest } = one;
    return members.filter((member) => member.concept !== concept).map((member) => ({ ...rest, ...member }));
  });
  return action ? [...others, { ...action, concept }] : others;
}

/**
 * Add the actions of a suggestion. They replace those of an earlier suggestion and all actions on the same
 * concepts.
 * @param {PendingAction[]} pending
 * @param {PendingAction[]} actions
 * @returns {PendingAction[]}
 */
export function withSuggestion(pending, actions) {
  const concepts = actions.flatMap(
    (action) => action.members?.map((member) => member.concept) ?? [action.concept],
  );
  const own = pending.filter((one) => !one.suggested && !concepts.some((concept) => affects(one, concept)));
  return [...own, ...actions.map((action) => ({ ...action, suggested: true }))];
}

/**
 * Return the fields of actions that the server receives.
 * @param {PendingAction[]} pending
 */
export const asRequest = (pending) => pending.map(({ kind, concept, value }) => ({ kind, concept, value }));
