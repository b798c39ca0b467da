// States, times and numbers in words.

export const byId = (name) => document.getElementById(name);

export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== false && value != null) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

// Text is only written where it has changed: who listens to it is not told the same again.
export function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// What a state is called, and how much it matters: good, plain, soon (nothing is wrong), bad.
const STATES = {
  starting: ["starting", "soon"],
  learning: ["learning", "soon"],
  watching: ["watching", "good"],
  disconnected: ["no picture", "bad"],
  frozen: ["picture frozen", "bad"],
  black: ["picture black", "bad"],
  covered: ["covered", "bad"],
  moved: ["moved", "bad"],
  ended: ["file over", "plain"],
  failed: ["given up", "bad"],
};
export const stateWords = (state) => (STATES[state] ?? [state])[0];
export const stateTone = (state) => (STATES[state] ?? [state, "plain"])[1];

const pad = (value) => String(value).padStart(2, "0");
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

// 14:32:07 of today, 28 Nov 14:32:07 of another day; of Unix seconds.
export function clock(seconds, withSeconds = true) {
  const at = new Date(seconds * 1000), now = new Date();
  if (Number.isNaN(at.getTime())) return "";
  const time = `${pad(at.getHours())}:${pad(at.getMinutes())}${withSeconds ? `:${pad(at.getSeconds())}` : ""}`;
  return at.toDateString() === now.toDateString() ? time : `${at.getDate()} ${MONTHS[at.getMonth()]} ${time}`;
}

// 4.2 s, 3 min, 2 h 5 min, 4 days
export function duration(seconds) {
  if (!(seconds >= 0)) return "";
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 600) return whole % 60 ? `${Math.floor(whole / 60)} min ${whole % 60} s` : `${whole / 60} min`;
  if (whole < 3600) return `${Math.round(whole / 60)} min`;
  if (whole < 172800) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86400)} days`;
}

// Three significant digits.
export function brief(value) {
  if (value == null || Number.isNaN(value)) return "-";
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString("en");
  return String(Number(value.toPrecision(3)));
}

export const many = (count, thing) => `${count.toLocaleString("en")} ${thing}${count === 1 ? "" : "s"}`;
export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
