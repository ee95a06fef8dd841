/** Switching between projects. */

import { call } from "./server.js";
import { tab } from "./storage.js";

/**
 * Open another project as a new visit.
 * @param {string} key
 */
export async function openProject(key) {
  const response = await call("open_project", { project: key });
  if (response.error) return;
  tab.set("token", response.token);
  location.hash = "";
  location.reload();
}
