/** The offer to choose the words of a new project. */

import { openWords } from "./late.js";
import { showMessage } from "./messages.js";
import { state } from "./state.js";
import { settings } from "./storage.js";

/** Offer the dialog once for a project without steps. */
export function offerWords() {
  const key = `words of ${state.info.project}`;
  if (settings.get(key)) return;
  settings.set(key, "offered");
  showMessage("Which words should the students use? You can look at them now or later.", {
    action: ["Which words?", openWords],
    slot: "step", // a step replaces the offer, so that two messages do not cover the sliders
  });
}
