// ROC, precision and recall, reliability.

const DASHES = [[], [7, 4], [2, 3], [9, 3, 2, 3], [4, 2], [12, 4]];
const curveColour = (k) => colour(`curve-${k % 6}`);

// Curves with an x of their own each, as one table that uPlot draws: every point is a column, in the order of x; a curve's
// own points keep their order, so that vertical steps stay.
function merged(curves) {
  const points = curves.flatMap((curve, own) => Array.from(curve.x, (x, k) => ({ x, own, y: curve.y[k] })));
  points.sort((a, b) => a.x - b.x);
  const data = [points.map((point) => point.x)];
  curves.forEach((_, own) => data.push(points.map((point) => (point.own === own ? point.y : undefined))));
  return data;
}

// Redraws on another width or theme; the chart is as high as it is wide.
function squarePlot(host, make) {
  let plot = null;
  const side = () => host.clientWidth || 300;
  const draw = () => {
    if (plot) plot.destroy();
    plot = make(side());
  };
  draw();
  new ResizeObserver(() => plot.width !== side() && plot.setSize({ width: side(), height: side() })).observe(host);
  document.addEventListener("theme", draw);
}

function axis(label) {
  return { label, labelFont: FONT, labelSize: 18, labelGap: 2, stroke: colour("muted"), font: FONT, size: 42, gap: 6,
    ticks: { show: false }, grid: { stroke: colour("line"), width: 1 } };
}

function rateCurves(name, curves, labels, areaName, diagonal) {
  const host = byId(name);
  if (!host || !curves.length) return;
  const made = curves.map((curve) => (
    { ...curve, x: unpacked(curve.x), y: unpacked(curve.y), thresholds: unpacked(curve.thresholds) }));
  const reading = byId(`${name}-reading`);
  byId(`${name}-legend`).replaceChildren(...made.map((curve, k) => {
    const key = element("canvas", { width: 44, height: 12, class: "dash", "aria-hidden": "true" });
    const area = curve.area === null ? "undefined" : curve.area.toFixed(3);
    return element("li", {}, key, element("span", {}, element("bdi", {}, curve.name), ` ${areaName} `, element("b", {}, area)));
  }));
  const keys = () => byId(`${name}-legend`).querySelectorAll("canvas").forEach((key, k) => {
    const pen = key.getContext("2d");
    pen.clearRect(0, 0, 44, 12);
    pen.strokeStyle = curveColour(k);
    pen.lineWidth = 4;
    pen.setLineDash(DASHES[k % 6].map((x) => x * 2));
    pen.beginPath();
    pen.moveTo(0, 6);
    pen.lineTo(44, 6);
    pen.stroke();
  });

  // What the curves say where the pointer is.
  function read(u) {
    const left = u.cursor.left;
    if (left == null || left < 0) return reading.replaceChildren();
    const x = u.posToVal(left, "x");
    reading.replaceChildren(...made.filter((curve) => curve.x.length).map((curve) => {
      const k = nearest(curve.x, x), level = curve.thresholds[k];
      const at = Number.isFinite(level) ? ` at ${brief(level)}` : "";
      const name = made.length > 1 ? `${curve.name}: ` : "";
      return element("li", {}, `${name}${labels[1]} ${curve.y[k].toFixed(2)}, ${labels[0]} ${curve.x[k].toFixed(2)}${at}`);
    }));
  }

  squarePlot(host, (side) => {
    keys();
    return new uPlot({
      width: side, height: side, padding: [8, 12, 0, 0], legend: { show: false },
      cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
      scales: { x: { time: false, range: [0, 1] }, y: { range: [0, 1.005] } },
      axes: [axis(labels[0]), axis(labels[1])],
      series: [{}, ...made.map((_, k) => (
        { stroke: curveColour(k), width: 2, dash: DASHES[k % 6], spanGaps: true, points: { show: false } }))],
      hooks: { drawClear: diagonal ? [chance] : [], setCursor: [read] },
    }, merged(made), host);
  });
}

function dashed(u, from, to) {
  const { ctx } = u;
  ctx.save();
  ctx.strokeStyle = colour("muted");
  ctx.lineWidth = devicePixelRatio;
  ctx.setLineDash([3 * devicePixelRatio, 4 * devicePixelRatio]);
  ctx.beginPath();
  ctx.moveTo(u.valToPos(from[0], "x", true), u.valToPos(from[1], "y", true));
  ctx.lineTo(u.valToPos(to[0], "x", true), u.valToPos(to[1], "y", true));
  ctx.stroke();
  ctx.restore();
}

const chance = (u) => dashed(u, [0, 0], [1, 1]);

// Promised against observed rates, both logarithmic.
function reliability(promises) {
  const host = byId("promises");
  if (!host || !promises.length) return;
  const known = promises.flatMap((promise) => [promise.rate, promise.low, promise.high, promise.observed]).filter((x) => x > 0);
  const low = 10 ** Math.floor(Math.log10(Math.min(...known)) - 0.15);
  const high = 10 ** Math.ceil(Math.log10(Math.max(...known)) + 0.15);

  function band(u) {
    const at = (x, y) => [u.valToPos(x, "x", true), u.valToPos(y, "y", true)];
    const { ctx } = u;
    ctx.save();
    ctx.beginPath();
    ctx.rect(u.bbox.left, u.bbox.top, u.bbox.width, u.bbox.height);
    ctx.clip();
    ctx.fillStyle = colour("band");
    ctx.beginPath();
    for (const point of [[low, low / 2], [high, high / 2], [high, high * 2], [low, low * 2]]) ctx.lineTo(...at(...point));
    ctx.fill();
    ctx.restore();
    dashed(u, [low, low], [high, high]);
  }

  function bars(u) {
    const { ctx } = u, ratio = devicePixelRatio;
    ctx.save();
    ctx.strokeStyle = ctx.fillStyle = colour("score");
    ctx.lineWidth = 2 * ratio;
    for (const promise of promises) {
      const x = u.valToPos(promise.rate, "x", true);
      const y = (value) => u.valToPos(clamp(value || low, low, high), "y", true);
      ctx.beginPath();
      ctx.moveTo(x, y(promise.low));
      ctx.lineTo(x, y(promise.high));
      for (const end of [promise.low, promise.high]) {
        if (!end) continue;
        ctx.moveTo(x - 5 * ratio, y(end));
        ctx.lineTo(x + 5 * ratio, y(end));
      }
      ctx.stroke();
      ctx.beginPath();
      ctx.arc(x, y(promise.observed), 5 * ratio, 0, 7);
      ctx.fillStyle = promise.extrapolated ? colour("card") : colour("score");
      ctx.fill();
      ctx.stroke();
    }
    ctx.restore();
  }

  squarePlot(host, (side) => new uPlot({
    width: side, height: side, padding: [8, 24, 0, 0], legend: { show: false }, cursor: { show: false },
    scales: { x: { time: false, distr: 3, range: [low, high] }, y: { distr: 3, range: [low, high] } },
    axes: ["promised false alarms an hour", "observed an hour"].map((label) => ({
      ...axis(label), size: 48,
      values: (_, splits) => splits.map((x) => (Math.abs(Math.log10(x) % 1) < 1e-9 ? brief(x) : null)) })),
    series: [{}, { paths: () => null, points: { show: false } }],
    hooks: { drawClear: [band], draw: [bars] },
  }, [promises.map((promise) => promise.rate), promises.map((promise) => promise.observed || null)], host));
}

function chooseFigure() {
  const chooser = byId("figure");
  if (!chooser) return;
  chooser.addEventListener("change", () => {
    for (const table of document.querySelectorAll(".matrix")) table.hidden = table.id !== `matrix-${chooser.value}`;
  });
}

function drawCharts() {
  rateCurves("roc", report.roc, ["false alarm rate", "detection rate"], "AUC", true);
  rateCurves("precision-recall", report.precisionRecall, ["recall", "precision"], "area", false);
  reliability([...report.reliability].sort((a, b) => a.rate - b.rate));
  chooseFigure();
}
