// The wall: a card for each camera, with its state, its scores and the picture of its latest event.

import { drawStrip, forgotten } from "./strip.js";
import { brief, byId, clock, duration, element, many, stateTone, stateWords, write } from "./words.js";

const wall = byId("wall");
const cards = new Map(); // by camera

function makeCard(name, onPick) {
  const picture = element("div", { class: "shot" });
  const badge = element("span", { class: "badge" });
  const strip = element("canvas", { class: "strip", role: "img" });
  const detail = element("p", { class: "camera-detail" });
  const foot = element("p", { class: "camera-foot" });
  const pick = element("button", { type: "button", class: "link", "aria-pressed": "false", title: `Events of ${name}`, onclick: () => onPick(name) }, name);
  const card = element("li", { class: "card camera" },
    picture, element("div", { class: "camera-body" },
      element("div", { class: "camera-head" }, element("h3", {}, pick), badge), strip, foot, detail));
  return { card, picture, badge, strip, detail, foot, pick, points: [], shown: null, status: null };
}

// What is to be said of a state beside its name.
function detailOf(status) {
  const lines = [];
  if (status.detail) lines.push(status.detail);
  if (status.state === "learning") {
    lines.push(status.alarms_from ? `alarms count from ${clock(status.alarms_from, false)}` : "alarms do not count yet");
  } else if (stateTone(status.state) === "bad" && status.since > 0) lines.push(`for ${duration(now - status.since)}`);
  return lines.join("; ");
}

function footOf(status) {
  const parts = [`${brief(status.fps)} frames/s`, `lag ${duration(status.lag)}`];
  if (status.dropped) parts.push(`${status.dropped.toLocaleString("en")} dropped`);
  if (status.threshold != null) parts.push(`threshold ${brief(status.threshold)}`);
  parts.push(many(status.events, "event"));
  return parts.map((part) => part.replaceAll(" ", "\u00a0")).join(" \u00b7 ");
}

function scoreWords(status) {
  if (status.score == null) return "no score yet";
  const threshold = status.threshold == null ? "no threshold yet" : `threshold ${brief(status.threshold)}`;
  return `Score ${brief(status.score)}, ${threshold}; the last three minutes`;
}

function showCard(own) {
  const { status } = own;
  own.card.dataset.tone = stateTone(status.state);
  own.badge.dataset.tone = stateTone(status.state);
  write(own.badge, stateWords(status.state));
  write(own.detail, detailOf(status));
  own.detail.hidden = !own.detail.textContent;
  write(own.foot, footOf(status));
  own.strip.setAttribute("aria-label", scoreWords(status));
  own.points = forgotten(own.points, now);
  drawStrip(own.strip, own.points, status.threshold, now);
}

function sayAll(statuses) {
  const tones = { good: 0, soon: 0, plain: 0, bad: 0 }, words = new Map();
  for (const { state } of statuses) {
    tones[stateTone(state)]++;
    if (state !== "watching") words.set(state, (words.get(state) ?? 0) + 1);
  }
  const rest = [...words].map(([state, count]) => `${count} ${stateWords(state)}`);
  const all = tones.good === statuses.length ? "all watching" : [`${tones.good} watching`, ...rest].join(", ");
  write(byId("summary"), statuses.length ? `${many(statuses.length, "camera")}: ${all}.` : "There are no cameras.");
}

let now = 0; // seconds, by the server's clock, which may not be that of here

export function showCameras({ at, cameras: statuses }, onPick) {
  now = at;
  const names = new Set(statuses.map((status) => status.camera));
  for (const [name, own] of cards) if (!names.has(name)) own.card.remove(), cards.delete(name);
  for (const status of statuses) {
    let own = cards.get(status.camera);
    if (!own) {
      cards.set(status.camera, (own = makeCard(status.camera, onPick)));
      wall.append(own.card);
      document.dispatchEvent(new CustomEvent("camera", { detail: status.camera }));
    }
    own.points = status.anew ? status.points : own.points.concat(status.points);
    own.status = status;
    showCard(own);
    showPicture(own);
  }
  sayAll(statuses);
}

function showPicture(own) {
  if (!own.picture.firstChild) own.picture.append(element("span", { class: "shot-none" }, "no event yet"));
}

// The picture of a camera's latest event; `going` while it is not over.
export function showEvent(alarm, url, going, when) {
  const own = cards.get(alarm.camera);
  if (!own) return;
  own.card.classList.toggle("going", going);
  if (own.shown === url && own.picture.querySelector(".shot-when")) return write(own.picture.querySelector(".shot-when"), when);
  if (!url) return;
  own.shown = url;
  own.picture.replaceChildren(
    element("img", { src: url, alt: `Latest event of ${alarm.camera}`, decoding: "async", onerror: () => own.picture.replaceChildren(element("span", { class: "shot-none" }, "its picture is no longer kept")) }),
    element("span", { class: "shot-when" }, when));
}

export function markPicked(name) {
  for (const [other, own] of cards) own.pick.setAttribute("aria-pressed", String(other === name));
}

export function redraw() {
  for (const own of cards.values()) if (own.status) drawStrip(own.strip, own.points, own.status.threshold, now);
}
