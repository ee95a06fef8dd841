/** The light and the dark theme. */

import { emit } from "./events.js";
import { settings } from "./storage.js";

/** Return whether the dark theme is in use. */
export const isDark = () => document.body.classList.contains("dark");

/** Switch between the light and the dark theme. */
export function toggleTheme() {
  const dark = document.body.classList.toggle("dark");
  settings.set("theme", dark ? "dark" : "light");
  emit("theme", dark);
}

/**
 * Return a colour of the theme.
 * @param {string} name A custom property of `page.css`, without its dashes.
 */
export const colour = (name) => getComputedStyle(document.body).getPropertyValue(`--${name}`).trim();

function restore() {
  const stored = settings.get("theme");
  // Gradio's `__theme` parameter takes precedence over the stored theme.
  if (stored && !/__theme=/.test(location.search)) document.body.classList.toggle("dark", stored === "dark");
}
if (document.body) restore();
else document.addEventListener("DOMContentLoaded", restore);
