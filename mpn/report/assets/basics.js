// Numbers out of the page, and how they are written.

const byId = (name) => document.getElementById(name);
const report = JSON.parse(byId("report-data").textContent);

// Base64 of little-endian float32.
function unpacked(text) {
  const raw = bytesOf(text);
  const view = new DataView(raw.buffer);
  const values = new Float32Array(raw.length / 4);
  for (let k = 0; k < values.length; k++) values[k] = view.getFloat32(4 * k, true);
  return values;
}

function bytesOf(text) {
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let k = 0; k < raw.length; k++) bytes[k] = raw.charCodeAt(k);
  return bytes;
}

// A trace with its series unpacked, made once, when it is first shown.
const unfolded = new Map();

function traceAt(index) {
  if (!unfolded.has(index)) {
    const trace = { ...report.traces[index], index };
    trace.scores = unpacked(trace.scores);
    trace.at = positions(trace);
    trace.regions = trace.regions ? unpacked(trace.regions) : new Float32Array(0);
    trace.finite = extent(trace.scores);
    unfolded.set(index, trace);
  }
  return unfolded.get(index);
}

// Where each row stands on the axis: seconds, or frame numbers where the rate is unknown.
function positions(trace) {
  const at = new Float64Array(trace.count);
  if (trace.times) {
    const steps = unpacked(trace.times.steps);
    let milliseconds = trace.times.first * 1000;
    for (let row = 0; row < trace.count; row++) at[row] = (milliseconds += steps[row]) / 1000;
  } else {
    for (let row = 0; row < trace.count; row++) {
      at[row] = trace.fps ? (trace.first / trace.step + row) / trace.fps : trace.first + row * trace.step;
    }
  }
  return at;
}

const hasTime = (trace) => Boolean(trace.times || trace.fps);
const frameOf = (trace, row) => trace.first + row * trace.step;

// Lowest, highest and the row of the highest; null where nothing is finite.
function extent(values) {
  let low = Infinity, high = -Infinity, peak = -1;
  for (let k = 0; k < values.length; k++) {
    if (values[k] < low) low = values[k];
    if (values[k] > high) (high = values[k]), (peak = k);
  }
  return peak < 0 ? null : { low, high, peak };
}

// The first place in rising values that is not below a value.
function lowerBound(values, value, length = values.length, of = (k) => values[k]) {
  let low = 0, high = length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (of(middle) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

function nearest(values, value) {
  const after = Math.min(lowerBound(values, value), values.length - 1);
  return after > 0 && value - values[after - 1] <= values[after] - value ? after - 1 : after;
}

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

// 0:07.5, 1:02:07; digits: after the point.
function clock(seconds, digits = 1) {
  if (seconds == null || Number.isNaN(seconds)) return "-";
  const sign = seconds < 0 ? "-" : "";
  const scale = 10 ** digits;
  const whole = Math.round(Math.abs(seconds) * scale);
  const minutes = Math.floor(whole / (60 * scale));
  const rest = ((whole - minutes * 60 * scale) / scale).toFixed(digits).padStart(digits ? digits + 3 : 2, "0");
  const hours = Math.floor(minutes / 60);
  return sign + (hours ? `${hours}:${String(minutes % 60).padStart(2, "0")}` : minutes) + ":" + rest;
}

const whole = (value) => value.toLocaleString("en");
const many = (count, thing) => `${whole(count)} ${thing}${count === 1 ? "" : "s"}`;

// Three significant digits, whole numbers where there are more.
function brief(value) {
  if (value == null || Number.isNaN(value)) return "-";
  const size = Math.abs(value);
  if (size >= 1000) return whole(Math.round(value));
  if (size > 0 && size < 0.001) return value.toExponential(1);
  return String(Number(value.toPrecision(3)));
}

// Time or frame number of a row, as the page names it.
function placeOf(trace, row) {
  return hasTime(trace) ? clock(trace.at[row]) : `frame ${whole(frameOf(trace, row))}`;
}

function seconds(value) {
  if (value == null) return "-";
  return value < 60 ? `${value.toFixed(1)} s` : clock(value, 0);
}

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== false && value != null) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

const press = (button, on) => button.setAttribute("aria-pressed", String(on));
const pressed = (button) => button.getAttribute("aria-pressed") === "true";
