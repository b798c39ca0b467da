// The table of events, of one video or of all; labelled intervals that no event overlaps are listed as missed.

function makeListing(onGo) {
  const body = byId("events-body"), headRow = byId("events-head"), more = byId("events-more");
  const some = 100; // rows shown at first
  const evaluates = report.kind === "evaluate" && report.traces.some((trace) => trace.labels);
  const first = report.byItself ? "rank" : "place", thing = report.byItself ? "moment" : "event";
  let current = 0, everywhere = false, sorted = { by: first, down: false }, all = false;

  const overlaps = (a, b) => a[0] < b[1] && b[0] < a[1];

  function entries(index) {
    const trace = report.traces[index], labels = trace.labels;
    const found = trace.events.map((event, number) => ({
      trace: index, number, start: event.start, end: event.end, row: event.peak, score: event.score, event,
      verdict: !labels ? "" : labels.some((label) => overlaps(label, [event.start, event.end])) ? "found" : "false alarm",
    }));
    const missed = (labels ?? [])
      .filter((label) => !trace.events.some((event) => overlaps(label, [event.start, event.end])))
      .map(([start, end]) => ({ trace: index, start, end, row: start, score: null, event: null, verdict: "missed" }));
    return evaluates ? [...found, ...missed] : found;
  }

  const listed = () => (everywhere ? report.traces.flatMap((_, index) => entries(index)) : entries(current));

  // What is said of an entry ---------------------------------------------------------------------------

  function whenOf(entry) {
    const trace = report.traces[entry.trace];
    const at = entry.event ? entry.event.from : secondsOf(entry.trace, entry.start);
    return at === null ? `frame ${whole(frameOf(trace, entry.start))}` : clock(at);
  }

  function secondsOf(index, row) {
    const trace = report.traces[index];
    if (!trace.times && !trace.fps) return null;
    const made = traceAt(index), last = trace.count - 1;
    const step = last ? (made.at[last] - made.at[0]) / last : 0;
    return row > last ? made.at[last] + step : made.at[row];
  }

  function lengthOf(entry) {
    const rows = entry.end - entry.start;
    const [from, to] = entry.event
      ? [entry.event.from, entry.event.to]
      : [secondsOf(entry.trace, entry.start), secondsOf(entry.trace, entry.end)];
    return from === null || to === null ? many(rows, "frame") : seconds(to - from);
  }

  function rarity(event) {
    if (!event || event.oneIn === null) return "-";
    const one = `1 in ${whole(Math.round(event.oneIn))}`;
    if (!event.beyond) return one;
    // Higher than all normal footage: how much rarer, that footage cannot say.
    return element("span", { title: "or more: it is higher than anything in the normal footage" }, one, "+",
      element("span", { class: "hidden" }, " or more"));
  }

  function where(entry) {
    const box = entry.event?.box, size = report.traces[entry.trace].size;
    if (!box) return "-";
    const [top, left, height, width] = box;
    if (!size) return `x ${left}, y ${top}`;
    const third = (value, words) => words[clamp(Math.floor(value * 3), 0, 2)];
    const words = [third((top + height / 2) / size[0], ["top", "", "bottom"]),
      third((left + width / 2) / size[1], ["left", "", "right"])].filter(Boolean);
    return words.join(" ") || "middle";
  }

  // The table -------------------------------------------------------------------------------------------

  // The strangest is 1; of the same strangeness the earlier comes first.
  const stranger = (a, b) => b.event.strangeness - a.event.strangeness || a.trace - b.trace || a.start - b.start;
  let ranks = new Map();
  const rankOf = (entry) => ranks.get(`${entry.trace} ${entry.start}`);

  const columns = () => [
    ...(report.byItself ? [{ key: "rank", title: "Rank", number: true, value: (e) => [rankOf(e)], text: (e) => String(rankOf(e)) }] : []),
    ...(everywhere ? [{ key: "video", title: "Video", text: (e) => element("bdi", {}, report.traces[e.trace].name) }] : []),
    { key: "place", title: "Start", value: (e) => [e.trace, e.start], text: whenOf },
    ...(listed().some((e) => e.event?.why) ? [{ key: "why", title: "Why", wraps: true, text: (e) => e.event?.why || "-" }] : []),
    { key: "length", title: "Length", number: true, value: (e) => [e.end - e.start], text: lengthOf },
    { key: "score", title: "Peak", number: true, value: (e) => [e.score ?? -Infinity], text: (e) => brief(e.score) },
    ...(evaluates ? [{ key: "verdict", title: "Label", value: (e) => [e.verdict], text: verdict }] : []),
    ...(listed().some((e) => e.event?.oneIn != null)
      ? [{ key: "rarity", title: "Rarer than", text: (e) => rarity(e.event) }] : []),
    ...(listed().some((e) => e.event?.box) ? [{ key: "where", title: "Where", text: where }] : []),
    // As the terminal and mpn teach number it.
    ...(listed().some((e) => e.event?.number != null)
      ? [{ key: "event", title: "Event", number: true, value: (e) => [e.trace, e.event?.number ?? 0], text: (e) => String(e.event?.number ?? "-") }] : []),
    ...(teaching && !narrow.matches ? [{ key: "teach", title: "Teach", text: teachButton }] : []),
  ];

  // On a narrow page the button stands below the start: a column of its own would be out of sight, or over the reasons.
  const narrow = matchMedia("(max-width: 66rem)");
  narrow.addEventListener("change", draw);
  const teaching = report.teach ? makeTeaching(draw) : null;

  function teachButton(entry) {
    const when = whenOf(entry), taught = teaching.of(entry.event);
    const open = (click) => (click.stopPropagation(), teaching.open(entry.event, when));
    const label = `Teach the camera the ${thing} at ${when}${taught === null ? "" : `; it was taught as ${taught}`}`;
    return element("button", { type: "button", class: "teach-open", "data-frame": entry.event.frame, "aria-label": label, onclick: open },
      taught === null ? "Teach\u2026" : `\u2713 ${taught}`);
  }

  function verdict(entry) {
    return entry.verdict ? element("span", { class: `verdict ${entry.verdict.replace(" ", "-")}` }, entry.verdict) : "-";
  }

  function header(column) {
    if (!column.value) return element("th", { scope: "col", class: column.number && "number" }, column.title);
    const own = sorted.by === column.key;
    const label = element("button", { type: "button", class: "sort", onclick: () => sort(column.key) }, column.title,
      element("span", { class: "arrow", "aria-hidden": "true" }, own ? (sorted.down ? "\u2193" : "\u2191") : "\u2195"));
    const order = own && (sorted.down ? "descending" : "ascending");
    return element("th", { scope: "col", class: column.number && "number", "aria-sort": order }, label);
  }

  function sort(key) {
    sorted = { by: key, down: sorted.by === key ? !sorted.down : !["place", "rank", "event"].includes(key) };
    draw();
    headRow.querySelector("[aria-sort] button")?.focus();
  }

  function compare(a, b) {
    const value = columnsByKey[sorted.by].value;
    const [x, y] = [value(a), value(b)];
    for (let k = 0; k < x.length; k++) if (x[k] !== y[k]) return (x[k] < y[k] ? -1 : 1) * (sorted.down ? -1 : 1);
    return a.trace - b.trace || a.start - b.start;
  }
  let columnsByKey = {};

  function draw() {
    if (report.byItself) ranks = new Map(listed().sort(stranger).map((entry, at) => [`${entry.trace} ${entry.start}`, at + 1]));
    const shown = columns();
    columnsByKey = Object.fromEntries(shown.map((column) => [column.key, column]));
    if (!columnsByKey[sorted.by]) sorted = { by: first, down: false };
    const rows = listed().sort(compare);
    headRow.replaceChildren(...shown.map(header));
    body.replaceChildren(...rows.slice(0, all ? rows.length : some).map((entry) => line(entry, shown)));
    more.hidden = all || rows.length <= some;
    more.textContent = `Show all ${whole(rows.length)}`;
    byId("events-summary").textContent = said(rows);
    byId("events-box").hidden = !rows.length;
  }

  function line(entry, shown) {
    const go = () => onGo(entry.trace, entry.row, entry);
    const made = element("tr", { "data-start": entry.start, "data-trace": entry.trace, onclick: go });
    for (const column of shown) {
      const content = column.text(entry);
      if (column.key !== "place") made.append(element("td", { class: column.number ? "number" : column.wraps && "why" }, content));
      else {
        const name = entry.verdict === "missed" ? "missed interval" : thing;
        made.append(element("th", { scope: "row" },
          element("button", { type: "button", class: "link", "aria-label": `Go to the ${name} at ${content}` }, content),
          ...(teaching && narrow.matches ? [teachButton(entry)] : [])));
      }
    }
    return made;
  }

  function said(rows) {
    const events = rows.filter((entry) => entry.event), missed = rows.length - events.length;
    if (!rows.length) {
      const level = report.traces[current].threshold;
      return level === null && !everywhere ? "No threshold, so no events." : `No ${thing}.`;
    }
    if (report.byItself) return `${many(events.length, thing)}, the strangest first: what is unlike the rest of the recording, which is not to say that it is wrong.`;
    if (!evaluates) return `${many(events.length, "event")}.`;
    const found = events.filter((entry) => entry.verdict === "found").length;
    const wrong = events.filter((entry) => entry.verdict === "false alarm").length;
    return `${many(events.length, "event")}: ${found} in a labelled interval, ${many(wrong, "false alarm")}; ` +
      `${many(missed, "labelled interval")} missed.`;
  }

  function mark(row) {
    for (const made of body.children) {
      const entry = made.dataset;
      made.classList.toggle("here", Number(entry.trace) === current && inside(entry, row));
    }
  }

  function inside(entry, row) {
    const start = Number(entry.start);
    const span = report.traces[current].events.find((event) => event.start === start) ??
      { end: (report.traces[current].labels ?? []).find((label) => label[0] === start)?.[1] };
    return row >= start && row < span.end;
  }

  more.addEventListener("click", () => ((all = true), draw()));
  if (byId("scope-one")) {
    for (const [name, value] of [["scope-one", false], ["scope-all", true]]) {
      byId(name).addEventListener("click", () => {
        everywhere = value;
        all = false;
        press(byId("scope-one"), !value);
        press(byId("scope-all"), value);
        draw();
      });
    }
  }

  return {
    show: (index) => {
      current = index;
      if (!everywhere) all = false;
      draw();
    },
    mark,
  };
}
