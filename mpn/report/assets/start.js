// The theme's button, then everything else.

function themeButton() {
  const root = document.documentElement, name = byId("theme-name");
  const say = () => (name.textContent = root.dataset.theme === "dark" ? "Light" : "Dark");
  byId("theme").addEventListener("click", () => {
    root.dataset.chosen = "yes";
    root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
    document.dispatchEvent(new Event("theme"));
  });
  document.addEventListener("theme", say);
  say();
}

themeButton();
if (report.traces.length) {
  const timeline = makeTimeline();
  timeline.load(report.start.trace, report.start.row);
  listenToKeys(timeline);
  showInsides(timeline);
}
drawCharts();
