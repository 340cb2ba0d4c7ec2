// Runs before the first paint, so that a chosen theme never flashes the other one. See lib/theme.js.
(() => {
  try {
    const chosen = localStorage.getItem("kindred.theme");
    if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
  } catch {
    // Storage may be blocked; the system's preference is used.
  }
})();
