/** The interface of the page for tests, benchmarks and a person's own scripts: `window.inficond`. */

import { chartNames } from "./charts.js";
import { emit, on } from "./events.js";
import { hover, select } from "./selection.js";
import { call } from "./server.js";
import { permalink, state } from "./state.js";
import { act, apply } from "./steps.js";
import { isDark } from "./theme.js";
import { startPage } from "./topbar.js";
import { dropPending, propose, proposeAll, setFocus } from "./tuning.js";
import { startView } from "./view.js";

const store = {
  state,
  on,
  emit,
  call,
  select,
  hover,
  permalink,
  propose,
  proposeAll,
  dropPending,
  setFocus,
  apply,
  act,
};

/**
 * The setup function of each view.
 * @type {Record<string, (view: import("./view.js").View) => void>}
 */
const views = {};

export const inficond = {
  startPage,
  startView: (/** @type {string} */ name, /** @type {HTMLElement} */ element, /** @type {any} */ props) =>
    startView(element, props, views[name]),
  views,
  store,
  chart: { names: chartNames },
  ui: { isDark },
};

Object.assign(window, { inficond });
