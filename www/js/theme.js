// Dark and light: the system's choice, until the button is used; then that is remembered.
import { byId } from "./dom.js";

const dark = matchMedia("(prefers-color-scheme: dark)");

function isDark() {
  const { theme } = document.documentElement.dataset;
  return theme ? theme === "dark" : dark.matches;
}

/** @param {() => void} onChange Called after the colours have changed. */
export function startTheme(onChange) {
  const button = byId("theme");
  const show = () => {
    button.setAttribute("aria-pressed", String(isDark()));
    onChange();
  };
  button.addEventListener("click", () => {
    const theme = isDark() ? "light" : "dark";
    document.documentElement.dataset.theme = theme;
    try {
      localStorage.setItem("isovec-theme", theme);
    } catch {
      // It holds for this visit then.
    }
    show();
  });
  dark.addEventListener("change", show);
  show();
}
