// A camera's scores of the last minutes, with its threshold.

import { colour } from "./words.js";

const SECONDS = 180; // that a strip shows
const GAP = 5; // seconds without a score, over which no line is drawn

let colours = null;
document.addEventListener("theme", () => (colours = null));

function palette() {
  colours ??= Object.fromEntries(["score", "score-wash", "event", "event-wash", "muted", "edge"].map((name) => [name, colour(name)]));
  return colours;
}

// Scores that are older than a strip shows go.
export function forgotten(points, now) {
  let first = 0;
  while (first < points.length && points[first][0] < now - SECONDS) first++;
  return first ? points.slice(first) : points;
}

// Pieces without a gap.
function pieces(points) {
  const found = [];
  let own = null;
  for (const point of points) {
    if (point[1] == null) { own = null; continue; }
    if (!own || point[0] - own[own.length - 1][0] > GAP) found.push((own = []));
    own.push(point);
  }
  return found;
}

export function drawStrip(canvas, points, threshold, now) {
  const width = canvas.clientWidth, height = canvas.clientHeight, ratio = devicePixelRatio || 1;
  if (!width) return;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const draw = canvas.getContext("2d"), paint = palette();
  draw.setTransform(ratio, 0, 0, ratio, 0, 0);
  draw.clearRect(0, 0, width, height);
  const values = points.map((point) => point[1]).filter((value) => value != null);
  const low = Math.min(0, ...values), high = Math.max(low + 1e-6, 1.35 * (threshold ?? 0), 1.08 * Math.max(low, ...values));
  const x = (at) => width * (1 - (now - at) / SECONDS);
  const y = (value) => (height - 3) - (height - 6) * (value - low) / (high - low);
  const foot = height - 1, line = threshold == null ? -Infinity : y(threshold);
  draw.fillStyle = paint.edge;
  draw.fillRect(0, height - 1, width, 1);
  const found = pieces(points);
  // Once as it is; once more, in the colour of events, what stands above the threshold.
  for (const above of [false, true]) {
    if (above && threshold == null) break;
    draw.save();
    draw.beginPath();
    draw.rect(0, 0, width, above ? line : height);
    draw.clip();
    for (const piece of found) {
      draw.beginPath();
      piece.forEach(([at, value], k) => (k ? draw.lineTo(x(at), y(value)) : draw.moveTo(x(at), y(value))));
      draw.strokeStyle = above ? paint.event : paint.score;
      draw.lineWidth = 1.6;
      draw.lineJoin = "round";
      draw.stroke();
      draw.lineTo(x(piece[piece.length - 1][0]), foot);
      draw.lineTo(x(piece[0][0]), foot);
      draw.fillStyle = above ? paint["event-wash"] : paint["score-wash"];
      draw.fill();
    }
    draw.restore();
  }
  if (threshold != null) {
    draw.beginPath();
    draw.setLineDash([4, 4]);
    draw.moveTo(0, line);
    draw.lineTo(width, line);
    draw.strokeStyle = paint.muted;
    draw.lineWidth = 1;
    draw.stroke();
    draw.setLineDash([]);
  }
}
