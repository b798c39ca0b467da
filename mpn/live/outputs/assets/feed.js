// The events, newest first, as they come.

import { brief, byId, clock, duration, element, many, write } from "./words.js";

const MOST = 500; // that stand in the page

const feed = byId("feed");
const alarms = new Map(); // by id: what was said last
const rows = new Map(); // by id: the elements
let taught = {};
let only = "";

export const secondsOf = (alarm) => Date.parse(alarm.started ?? "") / 1000;
export const isOver = (alarm) => alarm.phase !== "begin";

// Another number for another state of the event: a picture may have changed under its name.
export const snapshotOf = (alarm) => (alarm.snapshot ? `snapshots/${encodeURIComponent(alarm.id)}?v=${alarm.number}` : null);
export const clipOf = (alarm) => (alarm.clip ? `clips/${encodeURIComponent(alarm.id)}?v=${alarm.number}` : null);
export const taughtAs = (alarm) => taught[alarm.id] ?? null;

export function lastsOf(alarm) {
  const by = (Date.parse(alarm.ended ?? "") - Date.parse(alarm.started ?? "")) / 1000;
  if (by >= 0) return by;
  const own = alarm.end_seconds - alarm.start_seconds;
  return own >= 0 ? own : null;
}

export function whyOf(alarm) {
  const words = alarm.reason?.sentence ?? alarm.reason;
  return typeof words === "string" && words ? words : "stands out from what is normal here";
}

export function factsOf(alarm) {
  const facts = [];
  const lasts = lastsOf(alarm);
  if (isOver(alarm) && lasts != null) facts.push(["lasted", duration(lasts)]);
  if (alarm.peak_score != null) facts.push(["highest score", brief(alarm.peak_score)]);
  if (alarm.threshold != null) facts.push(["threshold", brief(alarm.threshold)]);
  if (alarm.rarer_than_one_in) facts.push(["rarer than", `1 in ${Math.round(alarm.rarer_than_one_in).toLocaleString("en")} normal frames${alarm.beyond_normal_footage ? ", higher than any of them" : ""}`]);
  if (alarm.like?.name) facts.push(["like", alarm.like.name]);
  if (taughtAs(alarm)) facts.push(["taught", taughtAs(alarm)]);
  return facts;
}

function makeRow(id, open) {
  const thumb = element("span", { class: "thumb" });
  const head = element("span", { class: "event-head" });
  const why = element("span", { class: "event-why" });
  const foot = element("span", { class: "event-foot" });
  const button = element("button", { type: "button", class: "event-open", onclick: () => open(alarms.get(id)) },
    thumb, element("span", { class: "event-body" }, head, why, foot));
  return { row: element("li", { class: "card event" }, button), button, thumb, head, why, foot, shown: null };
}

function badgesOf(alarm) {
  const found = [];
  if (!isOver(alarm)) found.push(element("span", { class: "badge", "data-tone": "bad" }, "going on"));
  if (alarm.interrupted) found.push(element("span", { class: "badge", "data-tone": "plain" }, "cut short"));
  if (alarm.counts === false) found.push(element("span", { class: "badge", "data-tone": "soon" }, "while learning"));
  if (alarm.like?.name) found.push(element("span", { class: "badge", "data-tone": "plain" }, `like ${alarm.like.name}`));
  const lesson = taughtAs(alarm);
  if (lesson) found.push(element("span", { class: "badge", "data-tone": "good" }, `taught: ${lesson}`));
  return found;
}

function fill(own, alarm) {
  const lasts = lastsOf(alarm);
  own.head.replaceChildren(element("b", {}, alarm.camera), element("time", { datetime: alarm.started ?? "" }, clock(secondsOf(alarm))));
  write(own.why, whyOf(alarm));
  const said = [isOver(alarm) && lasts != null ? duration(lasts) : "", alarm.peak_score == null ? "" : `score ${brief(alarm.peak_score)}`];
  own.foot.replaceChildren(...badgesOf(alarm), said.filter(Boolean).join(" \u00b7 "));
  own.row.classList.toggle("going", !isOver(alarm));
  const url = snapshotOf(alarm);
  if (url !== own.shown || !own.thumb.firstChild) {
    own.shown = url;
    const none = () => own.thumb.replaceChildren(element("span", { class: "thumb-none" }, "no picture"));
    if (url) own.thumb.replaceChildren(element("img", { src: url, alt: "", loading: "lazy", decoding: "async", onerror: none }));
    else none();
  }
  own.row.hidden = Boolean(only) && alarm.camera !== only;
}

// In the order of their numbers; an event keeps the place that its beginning gave it.
function place(own, alarm) {
  own.row.dataset.number = alarm.first;
  const after = [...feed.children].find((other) => Number(other.dataset.number) < alarm.first);
  feed.insertBefore(own.row, after ?? null);
}

// Adds what was said of an event; true where it is the first that was heard of it.
export function addAlarm(alarm, open) {
  const known = alarms.get(alarm.id);
  if (known && known.number >= alarm.number) {
    if (alarm.number < known.first) known.first = alarm.number; // its beginning, of an older page
    return false;
  }
  alarm.first = known ? known.first : alarm.number;
  alarms.set(alarm.id, alarm);
  let own = rows.get(alarm.id);
  if (!own) {
    rows.set(alarm.id, (own = makeRow(alarm.id, open)));
    place(own, alarm);
  }
  fill(own, alarm);
  shorten();
  tidy();
  return !known;
}

function shorten() {
  while (rows.size > MOST) {
    const last = feed.lastElementChild;
    for (const [id, own] of rows) if (own.row === last) rows.delete(id), alarms.delete(id);
    last.remove();
  }
}

function tidy() {
  const shown = [...feed.children].filter((row) => !row.hidden).length;
  byId("no-events").hidden = shown > 0;
  byId("how-to-teach").hidden = !shown;
  write(byId("no-events"), rows.size && only ? `None of ${only} here.` : "None so far. They appear here as they come.");
  byId("older").hidden = !rows.size || rows.size >= MOST || oldest() <= 1;
}

export const oldest = () => Math.min(Infinity, ...[...alarms.values()].map((alarm) => alarm.first));
export const noMore = () => (byId("older").hidden = true);

export function clearFeed() {
  alarms.clear();
  rows.clear();
  feed.replaceChildren();
  tidy();
}

export function setTaught(values) {
  taught = values;
  for (const [id, own] of rows) fill(own, alarms.get(id));
}

export function showOnly(name) {
  only = name;
  for (const [id, own] of rows) own.row.hidden = Boolean(only) && alarms.get(id).camera !== only;
  tidy();
}

// The event beside another one in the list as it is shown; step 1 is the next older one.
export function beside(alarm, step) {
  let row = rows.get(alarm.id)?.row;
  do row = step > 0 ? row?.nextElementSibling : row?.previousElementSibling; while (row?.hidden);
  for (const [id, own] of rows) if (row && own.row === row) return alarms.get(id);
  return null;
}

export const focusRow = (alarm) => rows.get(alarm.id)?.button.focus();
export const latestOf = (alarm) => alarms.get(alarm.id) ?? alarm;
export const eventWords = (alarm) => `${alarm.camera}, ${clock(secondsOf(alarm))}`;
export const freshWords = (count) => many(count, "new event");
