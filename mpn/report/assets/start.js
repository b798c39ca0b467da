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

// Where an address ends in #event-3, the page begins at that event.
function askedFor() {
  const number = Number(/^#event-(\d+)$/.exec(location.hash)?.[1]);
  for (const [trace, own] of report.traces.entries()) {
    const event = own.events.find((one) => one.number === number);
    if (event) return { trace, row: event.peak };
  }
  return null;
}

themeButton();
if (report.traces.length) {
  const timeline = makeTimeline();
  const asked = askedFor();
  timeline.load(asked?.trace ?? report.start.trace, asked?.row ?? report.start.row);
  listenToKeys(timeline);
  showInsides(timeline);
}
drawCharts();
