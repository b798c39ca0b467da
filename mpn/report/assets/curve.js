// The score over time, drawn by uPlot: events and labels shaded and in lanes of their own, a playhead.

const LANE = 10, LANE_GAP = 5; // heights in pixels
const TIME_STEPS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400,
  28800, 86400, 172800, 604800];
const FONT = "11px system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";

function makeCurve(host, onMove, onZoom) {
  let plot = null, trace = null, row = 0, spans = { events: [], labels: [] };
  const head = element("div", { class: "playhead" }, element("i"));

  // Half a row on either side belongs to a frame.
  function borders([start, end]) {
    const at = trace.at, last = trace.count - 1;
    const step = last ? (at[last] - at[0]) / last : 1;
    const from = start ? (at[start - 1] + at[start]) / 2 : at[0] - step / 2;
    const to = end <= last ? (at[end - 1] + at[end]) / 2 : at[last] + step / 2;
    return [from, to];
  }

  function limits() {
    const first = borders([0, 1])[0], last = borders([trace.count - 1, trace.count])[1];
    return [first, last];
  }

  function heights() {
    let { low, high } = trace.finite ?? { low: 0, high: 1 };
    if (trace.threshold !== null) (low = Math.min(low, trace.threshold)), (high = Math.max(high, trace.threshold));
    const room = (high - low || Math.abs(high) || 1) * 0.06;
    return [low - room, high + room];
  }

  function load(next) {
    const zoom = plot && trace === next ? [plot.scales.x.min, plot.scales.x.max] : null;
    trace = next;
    spans = { events: trace.events.map((e) => borders([e.start, e.end])), labels: (trace.labels ?? []).map(borders) };
    if (plot) plot.destroy();
    host.textContent = "";
    const gaps = (values) => Array.from(values, (value) => (Number.isNaN(value) ? null : value));
    plot = new uPlot(options(), [trace.at, gaps(trace.scores)], host);
    plot.over.append(head);
    listen(plot.over);
    if (zoom) plot.setScale("x", { min: zoom[0], max: zoom[1] });
    zoomed();
  }

  function options() {
    const lanes = (trace.events.length ? 1 : 0) + (trace.labels ? 1 : 0);
    const below = lanes * (LANE + LANE_GAP) + (lanes ? 4 : 0);
    const grid = { stroke: colour("line"), width: 1 };
    const text = { stroke: colour("muted"), font: FONT, ticks: { show: false } };
    const [low, high] = heights();
    const axes = [
      { ...text, grid, space: 70, gap: 6 + below, size: 26 + below, incrs: hasTime(trace) ? TIME_STEPS : undefined,
        values: (_, splits, axis, space, step) => splits.map((at) => tick(at, step)) },
      { ...text, grid, size: 58, space: 40, gap: 8, values: (_, splits) => splits.map(brief) },
    ];
    const series = [{}, { stroke: ink, width: 1.5, fill: wash, points: { show: sparse } }];
    const scales = { x: { time: false, range: within }, y: { range: [low, high] } };
    return {
      width: host.clientWidth || 600, height: host.clientHeight || 300, padding: [10, 12, 0, 0],
      legend: { show: false }, axes, series, scales,
      cursor: { x: false, y: false, points: { show: false }, drag: { x: true, y: false, setScale: true, dist: 8 } },
      hooks: { drawClear: [shade], draw: [overdraw, place], setScale: [(_, key) => key === "x" && zoomed()] },
    };
  }

  const tick = (at, step) => (hasTime(trace) ? clock(at, step < 0.1 ? 2 : step < 1 ? 1 : 0) : whole(at));

  // Points only where single rows can be told apart.
  function sparse(u, _, first, last) {
    return last - first < u.bbox.width / devicePixelRatio / 12;
  }

  // Never beyond the video, never closer than a few rows.
  function within(_, from, to) {
    const [first, last] = limits();
    if (from == null || to == null || (from <= trace.at[0] && to >= trace.at[trace.count - 1])) return [first, last];
    const least = Math.min(last - first, ((last - first) / trace.count) * 8);
    const width = clamp(to - from, least, last - first);
    const start = clamp((from + to - width) / 2, first, last - width);
    return [start, start + width];
  }

  // One colour below the threshold, another above it.
  function split(u, below, above) {
    if (trace.threshold === null) return below;
    const level = u.valToPos(trace.threshold, "y", true);
    const share = clamp((level - u.bbox.top) / u.bbox.height, 0, 1);
    const made = u.ctx.createLinearGradient(0, u.bbox.top, 0, u.bbox.top + u.bbox.height);
    for (const [stop, name] of [[0, above], [share, above], [share, below], [1, below]]) made.addColorStop(stop, name);
    return made;
  }
  const ink = (u) => split(u, colour("score"), colour("event"));
  const wash = (u) => split(u, colour("score-wash"), colour("event-wash"));

  function across(u, [from, to]) {
    const left = Math.max(u.valToPos(from, "x", true), u.bbox.left);
    const right = Math.min(u.valToPos(to, "x", true), u.bbox.left + u.bbox.width);
    return right > left ? [left, Math.max(right - left, devicePixelRatio)] : null;
  }

  function shade(u) {
    const { ctx } = u;
    for (const [name, list] of [["label-wash", spans.labels], ["event-wash", spans.events]]) {
      ctx.fillStyle = colour(name);
      for (const span of list) {
        const place = across(u, span);
        if (place) ctx.fillRect(place[0], u.bbox.top, place[1], u.bbox.height);
      }
    }
  }

  function overdraw(u) {
    const { ctx } = u, ratio = devicePixelRatio;
    if (trace.threshold !== null) {
      const level = Math.round(u.valToPos(trace.threshold, "y", true));
      ctx.save();
      ctx.strokeStyle = colour("text");
      ctx.lineWidth = ratio;
      ctx.setLineDash([6 * ratio, 4 * ratio]);
      ctx.beginPath();
      ctx.moveTo(u.bbox.left, level);
      ctx.lineTo(u.bbox.left + u.bbox.width, level);
      ctx.stroke();
      ctx.restore();
    }
    let top = u.bbox.top + u.bbox.height + 6 * ratio;
    if (trace.events.length) top = lane(u, top, "events", spans.events, colour("event"));
    if (trace.labels) lane(u, top, "labelled", spans.labels, hatched(ctx, colour("label")));
  }

  function lane(u, top, name, list, fill) {
    const { ctx } = u, ratio = devicePixelRatio, height = LANE * ratio;
    ctx.fillStyle = colour("lane");
    ctx.fillRect(u.bbox.left, top, u.bbox.width, height);
    ctx.fillStyle = fill;
    for (const span of list) {
      const place = across(u, span);
      if (place) ctx.fillRect(place[0], top, Math.max(place[1], 2 * ratio), height);
    }
    ctx.fillStyle = colour("muted");
    ctx.font = FONT.replace("11px", `${10.5 * ratio}px`);
    ctx.textAlign = "right";
    ctx.textBaseline = "middle";
    ctx.fillText(name, u.bbox.left - 8 * ratio, top + height / 2);
    return top + height + LANE_GAP * ratio;
  }

  // Labels are told from events by their pattern too.
  function hatched(context, ink) {
    const size = Math.round(6 * devicePixelRatio);
    const tile = element("canvas", { width: size, height: size });
    const pen = tile.getContext("2d");
    pen.fillStyle = ink;
    pen.globalAlpha = 0.35;
    pen.fillRect(0, 0, size, size);
    pen.globalAlpha = 1;
    pen.strokeStyle = ink;
    pen.lineWidth = size / 3.2;
    for (const shift of [-size, 0, size]) {
      pen.beginPath();
      pen.moveTo(shift - 1, size + 1);
      pen.lineTo(shift + size + 1, -1);
      pen.stroke();
    }
    return context.createPattern(tile, "repeat");
  }

  // Moving ----------------------------------------------------------------------------------------------

  function listen(over) {
    const move = (event) => {
      const left = event.clientX - over.getBoundingClientRect().left;
      onMove(nearest(trace.at, plot.posToVal(clamp(left, 0, over.clientWidth), "x")), event.type);
    };
    over.addEventListener("pointerdown", (event) => {
      if (event.pointerType !== "mouse") over.setPointerCapture(event.pointerId);
      if (event.button === 0) move(event);
    });
    over.addEventListener("pointermove", (event) => {
      // A pressed mouse selects what to zoom to; a finger moves.
      if (event.pointerType !== "mouse" || event.buttons === 0) move(event);
    });
  }

  // The playhead costs the same in a video of any length.
  function place() {
    if (!plot) return;
    const at = trace.at[row], x = plot.valToPos(at, "x");
    const out = !(x >= -1 && x <= plot.over.clientWidth + 1);
    head.hidden = out;
    if (out) return;
    head.style.transform = `translateX(${x}px)`;
    const score = trace.scores[row], dot = head.firstChild;
    dot.hidden = Number.isNaN(score);
    if (!dot.hidden) dot.style.transform = `translateY(${plot.valToPos(score, "y")}px)`;
    head.classList.toggle("above", trace.threshold !== null && score > trace.threshold);
  }

  function zoomed() {
    if (!plot) return;
    const [first, last] = limits(), { min, max } = plot.scales.x;
    onZoom((max - min) < (last - first) * 0.999);
  }

  function zoom(factor) {
    const { min, max } = plot.scales.x, at = clamp(trace.at[row], min, max);
    plot.setScale("x", { min: at - (at - min) * factor, max: at + (max - at) * factor });
  }

  // Makes a row visible, keeping the zoom.
  function reveal(at) {
    const { min, max } = plot.scales.x, x = trace.at[at];
    if (x >= min && x <= max) return;
    plot.setScale("x", { min: x - (max - min) / 2, max: x + (max - min) / 2 });
  }

  new ResizeObserver(() => {
    if (!plot || !host.clientWidth) return;
    plot.setSize({ width: host.clientWidth, height: host.clientHeight });
  }).observe(host);
  document.addEventListener("theme", () => trace && load(trace));

  function all() {
    const [min, max] = limits();
    plot.setScale("x", { min, max });
  }

  return {
    load, zoom, reveal, all,
    set: (at) => ((row = at), place()),
  };
}
