// Keys: only while the timeline is in view, and never those that the focused control needs itself.

function listenToKeys(timeline) {
  let inView = false;
  new IntersectionObserver(([entry]) => (inView = entry.isIntersecting), { threshold: 0.15 }).observe(byId("timeline"));

  const actions = {
    " ": () => timeline.play(),
    ArrowLeft: (event) => timeline.step(event.shiftKey ? -timeline.second() : -1),
    ArrowRight: (event) => timeline.step(event.shiftKey ? timeline.second() : 1),
    Home: () => timeline.edge(false),
    End: () => timeline.edge(true),
    n: () => timeline.event(1),
    p: () => timeline.event(-1),
    h: () => timeline.toggle("heat"),
    b: () => timeline.toggle("boxes"),
  };

  function taken(target, key) {
    if (target.closest("dialog, select, textarea, [contenteditable]")) return true;
    if (target.closest("button, summary, a")) return key === " ";
    if (target.closest("input[type=checkbox]")) return key === " ";
    return Boolean(target.closest(".scroll")) && key !== "n" && key !== "p";
  }

  document.addEventListener("keydown", (event) => {
    const action = actions[event.key];
    if (!action || !inView || !byId("keys-on").checked || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.target instanceof Element && taken(event.target, event.key)) return;
    event.preventDefault();
    action(event);
  });

  byId("help").addEventListener("click", () => {
    const keys = byId("keys");
    keys.hidden = !keys.hidden;
    byId("help").setAttribute("aria-expanded", String(!keys.hidden));
  });
}
