// What is shown: a video, a row of it. Curve, film, slider and lists follow from here.

function makeTimeline() {
  const slider = byId("position"), chooser = byId("video");
  let trace = null, row = 0, marked = null, saidAt = 0, waiting = null;

  const film = makeFilm((at) => moveTo(at, "film"), state);
  const curve = makeCurve(byId("curve"), hovered, (zoomed) => (byId("zoom-all").disabled = !zoomed));
  const listing = makeListing(go);

  // The one way by which the position changes.
  function moveTo(at, from) {
    row = clamp(at, 0, trace.count - 1);
    curve.set(row);
    if (from !== "film") film.show(row);
    if (from !== "slider") slider.value = row;
    readout();
    say();
  }

  function readout() {
    const score = trace.scores[row], frame = frameOf(trace, row);
    byId("now-time").textContent = placeOf(trace, row);
    byId("now-frame").textContent = hasTime(trace) ? `frame ${whole(frame)}` : "";
    byId("now-score").textContent = brief(score);
    const badge = byId("now-state");
    badge.hidden = trace.threshold === null || Number.isNaN(score);
    const above = score > trace.threshold;
    badge.textContent = levelWords(above);
    badge.classList.toggle("above", above);
    const labelled = (trace.labels ?? []).some(([start, end]) => row >= start && row < end);
    byId("now-label").hidden = !labelled;
    slider.setAttribute("aria-valuetext", spoken());
    const event = eventAt(row);
    if (event !== marked) (marked = event), listing.mark(row);
    byId("now-why").textContent = trace.events[event]?.why ?? "";
  }

  // Where a recording is judged by itself there is no threshold for a rate of false alarms.
  function levelWords(above) {
    if (report.byItself) return above ? "listed" : "not listed";
    return `${above ? "above" : "below"} the threshold`;
  }

  function eventAt(at) {
    return trace.events.findIndex((event) => at >= event.start && at < event.end);
  }

  function spoken() {
    const score = trace.scores[row];
    const known = trace.threshold !== null && !Number.isNaN(score);
    const level = known ? `, ${levelWords(score > trace.threshold)}` : "";
    return `${placeOf(trace, row)}, score ${Number.isNaN(score) ? "none" : brief(score)}${level}`;
  }

  // For screen readers, at most once in two seconds, and not while the film plays.
  function say() {
    if (waiting) return;
    waiting = setTimeout(() => {
      waiting = null;
      saidAt = performance.now();
      if (!film.playing()) byId("live").textContent = spoken();
    }, Math.max(400, 2000 - (performance.now() - saidAt)));
  }

  function hovered(at, how) {
    if (how === "pointermove" && film.playing()) return;
    if (at !== row) moveTo(at, "curve");
  }

  function go(index, at, entry) {
    film.pause();
    if (index !== trace.index) load(index, at);
    else moveTo(at, "list");
    curve.reveal(at);
    if (entry && byId("timeline").getBoundingClientRect().top < 0) {
      byId("timeline").scrollIntoView({ behavior: calm() ? "auto" : "smooth", block: "start" });
    }
  }

  const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

  function load(index, at) {
    trace = traceAt(index);
    row = clamp(at ?? trace.finite?.peak ?? 0, 0, trace.count - 1);
    marked = null;
    slider.max = Math.max(0, trace.count - 1);
    if (chooser) chooser.value = index;
    curve.load(trace);
    film.load(trace);
    listing.show(index);
    byId("threshold-value").textContent = brief(trace.threshold);
    byId("key-threshold").hidden = trace.threshold === null;
    byId("key-event").hidden = byId("event-steps").hidden = !trace.events.length;
    byId("key-label").hidden = !trace.labels;
    byId("now-why").hidden = !trace.events.some((event) => event.why);
    byId("curve-summary").textContent = summary();
    byId("boxes").hidden = !trace.film || !trace.regions.length;
    for (const made of document.querySelectorAll("#videos-table tbody tr")) {
      const own = Number(made.dataset.trace) === index;
      made.classList.toggle("here", own);
      made.querySelector("button").setAttribute("aria-current", own);
      if (own) bringIntoBox(made);
    }
    moveTo(row, "load");
  }

  // Scrolls the list, never the page.
  function bringIntoBox(made) {
    const box = made.closest(".scroll"), top = made.offsetTop - made.offsetHeight;
    if (top < box.scrollTop || top + 2 * made.offsetHeight > box.scrollTop + box.clientHeight) box.scrollTop = top;
  }

  function summary() {
    if (!trace.finite) return `${trace.name}: ${many(trace.count, "frame")}, none with a score.`;
    const level = trace.threshold === null
      ? "No threshold."
      : `Threshold ${brief(trace.threshold)}, ${many(trace.events.length, "event")} above it.`;
    const labels = trace.labels ? ` ${many(trace.labels.length, "labelled interval")}.` : "";
    const { high, peak } = trace.finite;
    return `${trace.name}: ${many(trace.count, "frame")}, highest score ${brief(high)} at ${placeOf(trace, peak)}. ` +
      `${level}${labels}`;
  }

  // Buttons ---------------------------------------------------------------------------------------------

  function state() {
    const there = film.there(), playing = film.playing();
    const play = byId("play");
    play.hidden = byId("speed-label").hidden = byId("heat").hidden = !there;
    play.setAttribute("aria-label", playing ? "Pause" : "Play");
    play.querySelector("path").setAttribute("d", playing ? "M7 5h3.5v14H7zM13.5 5H17v14h-3.5z" : "M7 4.5v15l12-7.5z");
    if (!playing && trace) readout();
  }

  function step(rows) {
    film.pause();
    moveTo(row + rows, "step");
    curve.reveal(row);
  }

  const second = () => Math.max(1, Math.round(trace.fps ?? (trace.times ? rowsASecond() : 25)));
  const rowsASecond = () => (trace.count - 1) / (trace.at[trace.count - 1] - trace.at[0] || 1);

  // The next event by its peak, or the one before.
  function event(direction) {
    const peaks = trace.events.map((one) => one.peak).sort((a, b) => a - b);
    const found = direction > 0 ? peaks.find((peak) => peak > row) : peaks.findLast((peak) => peak < row);
    if (found !== undefined) go(trace.index, found);
  }

  function toggle(name) {
    const button = byId(name);
    if (button.hidden) return;
    press(button, !pressed(button));
    film.set(name, pressed(button));
  }

  function choose(direction) {
    load((trace.index + direction + report.traces.length) % report.traces.length);
  }

  slider.addEventListener("input", () => {
    film.pause();
    moveTo(Number(slider.value), "slider");
    curve.reveal(row);
  });
  byId("play").addEventListener("click", () => film.toggle());
  byId("back").addEventListener("click", () => step(-1));
  byId("on").addEventListener("click", () => step(1));
  byId("previous-event").addEventListener("click", () => event(-1));
  byId("next-event").addEventListener("click", () => event(1));
  byId("heat").addEventListener("click", () => toggle("heat"));
  byId("boxes").addEventListener("click", () => toggle("boxes"));
  byId("speed").addEventListener("change", (change) => film.speed(Number(change.target.value)));
  byId("zoom-in").addEventListener("click", () => curve.zoom(0.5));
  byId("zoom-out").addEventListener("click", () => curve.zoom(2));
  byId("zoom-all").addEventListener("click", () => curve.all());
  if (chooser) {
    chooser.addEventListener("change", () => load(Number(chooser.value)));
    byId("previous-video").addEventListener("click", () => choose(-1));
    byId("next-video").addEventListener("click", () => choose(1));
    for (const made of document.querySelectorAll("#videos-table tbody tr")) {
      made.addEventListener("click", () => go(Number(made.dataset.trace), peakOf(Number(made.dataset.trace)), made));
    }
  }

  // Where a video is most worth looking at: its strongest event, else its highest score.
  function peakOf(index) {
    const { events } = report.traces[index];
    const strength = (one) => one.strangeness ?? one.score;
    if (events.length) return events.reduce((best, one) => (strength(one) > strength(best) ? one : best)).peak;
    return traceAt(index).finite?.peak ?? 0;
  }

  return {
    load, go, step, event, toggle, second,
    play: () => film.toggle(),
    edge: (last) => step(last ? trace.count : -trace.count),
  };
}
