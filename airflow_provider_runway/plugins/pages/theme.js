// Light or dark, colours and fonts as Airflow has them around this page. A plain script in the head, so that
// all is in place before anything is painted.
"use strict";

(() => {
  const TOKENS = {
    bg: "colors-bg",
    "bg-muted": "colors-bg-muted",
    "bg-emphasized": "colors-bg-emphasized",
    fg: "colors-fg",
    "fg-muted": "colors-fg-muted",
    link: "colors-fg-info",
    border: "colors-border",
    "border-emphasized": "colors-border-emphasized",
    focus: "colors-brand-focus-ring",
    made: "colors-success-solid",
    waiting: "colors-running-solid",
    failed: "colors-failed-solid",
    "failed-fg": "colors-failed-fg",
    unknown: "colors-warning-solid",
    "unknown-fg": "colors-warning-fg",
    none: "colors-none-solid",
    "font-body": "fonts-body",
    "font-mono": "fonts-mono",
  };
  const own = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");

  function airflow() {
    try {
      return window.parent === window ? null : window.parent.document.documentElement;
    } catch {
      return null; // Framed by a page of another origin, whose looks cannot be seen.
    }
  }

  function chosen() {
    try {
      const theme = localStorage.getItem("theme");
      return theme === "light" || theme === "dark" ? theme : null;
    } catch {
      return null;
    }
  }

  function dress() {
    const around = airflow();
    const dark = around
      ? around.classList.contains("dark")
      : (chosen() ?? (system.matches ? "dark" : "light")) === "dark";
    own.classList.toggle("dark", dark);
    const looks = around && getComputedStyle(around);
    for (const [name, token] of Object.entries(TOKENS)) {
      const value = looks ? looks.getPropertyValue(`--chakra-${token}`).trim() : "";
      if (value) {
        own.style.setProperty(`--${name}`, value);
      } else {
        own.style.removeProperty(`--${name}`);
      }
    }
  }

  dress();
  const around = airflow();
  if (around) {
    const watch = new MutationObserver(dress);
    watch.observe(around, { attributes: true, attributeFilter: ["class", "style", "data-theme"] });
    addEventListener("pagehide", () => watch.disconnect());
    addEventListener("pageshow", (event) => {
      if (event.persisted) {
        dress();
        watch.observe(around, { attributes: true, attributeFilter: ["class", "style", "data-theme"] });
      }
    });
  }
  system.addEventListener("change", dress);
  addEventListener("storage", dress);
})();
