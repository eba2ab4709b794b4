// Light, dark, or as the system is.
import { html, useState } from "../lib/html.js";
import { Icon } from "./icon.js";

const dark = () => {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
};

/** The three choices are `light`, `dark` and `system`. */
export function chooseTheme(choice) {
  try {
    if (choice === "system") localStorage.removeItem("theme");
    else localStorage.setItem("theme", choice);
  } catch {
    // Not remembered; it still holds for this page.
  }
  if (choice === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = choice;
}

export const chosenTheme = () => document.documentElement.dataset.theme ?? "system";

export function ThemeSwitch({ control }) {
  const [isDark, set] = useState(dark());
  const flip = () => {
    chooseTheme(isDark ? "light" : "dark");
    set(!isDark);
  };
  const label = isDark ? "Use light colours" : "Use dark colours";
  return html`<button type="button" class="button ghost bare" data-control=${control} aria-label=${label} title=${label} onClick=${flip}><${Icon} name=${isDark ? "sun" : "moon"} /></button>`;
}
