// The page's line to the server, and who is told what of it.

import { addAlarm, clearFeed, eventWords, freshWords, isOver, noMore, oldest, secondsOf, setTaught, showOnly, snapshotOf, whyOf } from "./feed.js";
import { openLook, renewLook } from "./look.js";
import { markPicked, redraw, showCameras, showEvent } from "./wall.js";
import { byId, clock, duration, element, write } from "./words.js";

const SILENT = 20; // seconds without a word of the cameras
const AGAIN = 5000; // milliseconds until a line that was refused is tried again

// The line ----------------------------------------------------------------------------------------

const line = byId("line");
let lastId = null, heard = 0, up = false, caughtUp = false;

function sayLine(text, tone) {
  write(line, text);
  line.dataset.tone = tone;
}

function checkLine() {
  if (!up) return;
  const silent = (Date.now() - heard) / 1000;
  if (heard && silent > SILENT) sayLine(`no word from the cameras for ${duration(silent)}`, "bad");
  else sayLine("live", "good");
}

function connect() {
  const source = new EventSource(lastId ? `events?after=${lastId}` : "events");
  source.addEventListener("open", () => ((up = true), (heard = Date.now()), checkLine()));
  source.addEventListener("error", () => {
    up = false;
    sayLine("connection lost, tried again", "bad");
    if (source.readyState !== EventSource.CLOSED) return;
    // Refused, not cut off: after a start with a new token, this page is a stranger.
    fetch("healthz").then(
      () => sayLine("refused: open the address that mpn watch has printed last", "bad"), () => {});
    setTimeout(connect, AGAIN);
  });
  source.addEventListener("hello", (event) => JSON.parse(event.data).anew && forgetAll());
  source.addEventListener("alarm", (event) => {
    lastId = event.lastEventId;
    take(JSON.parse(event.data));
  });
  source.addEventListener("taught", (event) => (setTaught(JSON.parse(event.data)), renewLook()));
  source.addEventListener("cameras", (event) => {
    heard = Date.now();
    showCameras(JSON.parse(event.data), pick);
    if (!caughtUp) showLatest();
    caughtUp = true;
    checkLine();
  });
}

// Events ------------------------------------------------------------------------------------------

const latest = new Map(); // the latest event of each camera
let fresh = 0;

function forgetAll() {
  caughtUp = false;
  latest.clear();
  clearFeed();
}

function showOf(alarm) {
  const going = !isOver(alarm) && alarm.counts !== false;
  showEvent(alarm, snapshotOf(alarm), going, isOver(alarm) ? clock(secondsOf(alarm)) : "now");
}

function showLatest() {
  for (const alarm of latest.values()) showOf(alarm);
}

function take(alarm) {
  const first = addAlarm(alarm, openLook);
  latest.set(alarm.camera, alarm);
  if (!caughtUp) return;
  showOf(alarm);
  renewLook();
  if (first && alarm.counts !== false) {
    write(byId("told"), `Event at ${eventWords(alarm)}: ${whyOf(alarm)}`);
    if (document.hidden || !seen()) count(fresh + 1);
  }
}

// Events that came while nobody looked at them.
function count(now) {
  fresh = now;
  byId("fresh").hidden = !fresh;
  write(byId("fresh"), String(fresh));
  byId("fresh").title = freshWords(fresh);
  document.title = fresh ? `(${fresh}) Live cameras` : "Live cameras";
}

function seen() {
  const box = byId("events").getBoundingClientRect();
  return box.top < innerHeight - 80 && box.bottom > 0;
}

const look = () => fresh && !document.hidden && seen() && count(0);
document.addEventListener("visibilitychange", look);
addEventListener("scroll", look, { passive: true });

async function older() {
  const before = oldest();
  try {
    const answer = await fetch(`alarms?before=${before}`);
    const { alarms } = await answer.json();
    for (const alarm of alarms.reverse()) addAlarm(alarm, openLook);
    if (!alarms.length) noMore();
  } catch {
    sayLine("connection lost, tried again", "bad");
  }
}
byId("older").addEventListener("click", older);

// One camera alone --------------------------------------------------------------------------------

const only = byId("only");

function choose(name) {
  only.value = name;
  showOnly(name);
  markPicked(name);
}

function pick(name) {
  choose(only.value === name ? "" : name);
  if (only.value && !seen()) byId("events").scrollIntoView();
}
only.addEventListener("change", () => choose(only.value));
document.addEventListener("camera", (event) => only.append(element("option", { value: event.detail }, event.detail)));

// Light and dark ----------------------------------------------------------------------------------

const root = document.documentElement;
const nameTheme = () => write(byId("theme-name"), root.dataset.theme === "dark" ? "Light" : "Dark");
document.addEventListener("theme", () => (nameTheme(), redraw()));
byId("theme").addEventListener("click", () => {
  root.dataset.chosen = "yes";
  root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
  document.dispatchEvent(new Event("theme"));
});
nameTheme();
addEventListener("resize", redraw);
setInterval(checkLine, 1000);
connect();
