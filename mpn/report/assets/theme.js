// Before anything is painted: light or dark as the system says, until the button says otherwise.
(() => {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const root = document.documentElement;
  const follow = () => {
    if (!root.dataset.chosen) root.dataset.theme = system.matches ? "dark" : "light";
    document.dispatchEvent(new Event("theme"));
  };
  system.addEventListener("change", follow);
  follow();
})();
