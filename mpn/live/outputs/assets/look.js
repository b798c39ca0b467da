// One event, large: its clip, its reason, and what the camera is to be taught of it.

import { beside, clipOf, eventWords, factsOf, focusRow, isOver, latestOf, snapshotOf, taughtAs, whyOf } from "./feed.js";
import { byId, element } from "./words.js";

const box = byId("look"), media = byId("look-media"), name = byId("teach-name"), said = byId("teach-said");
const buttons = { normal: byId("teach-normal"), named: byId("teach-named") };
let alarm = null, busy = false, shown = "";

function say(text, failed = false) {
  said.textContent = text;
  said.classList.toggle("failed", failed);
}

function showMedia() {
  const clip = clipOf(alarm), snapshot = snapshotOf(alarm), key = `${clip} ${snapshot}`;
  if (key === shown) return;
  shown = key;
  const none = (text) => media.replaceChildren(element("p", { class: "look-none" }, text));
  const gone = "What it showed is no longer kept.";
  if (clip) {
    media.replaceChildren(element("video", { src: clip, poster: snapshot, controls: true, muted: true, playsinline: true, preload: "metadata", "aria-label": "Clip of the event", onerror: () => none(gone) }));
  } else if (snapshot) {
    media.replaceChildren(element("img", { src: snapshot, alt: "The event at its peak so far", onerror: () => none(gone) }));
  } else none(isOver(alarm) ? "There is no picture of it." : "Its picture comes in a moment.");
}

function show() {
  byId("look-title").textContent = eventWords(alarm);
  byId("look-why").textContent = whyOf(alarm);
  byId("look-facts").replaceChildren(...factsOf(alarm).map(([what, value]) => element("div", {}, element("dt", {}, what), element("dd", {}, value))));
  showMedia();
  // (a button that is disabled would lose the focus)
  byId("look-newer").setAttribute("aria-disabled", String(!beside(alarm, -1)));
  byId("look-older").setAttribute("aria-disabled", String(!beside(alarm, 1)));
  allow();
}

function allow() {
  const can = isOver(alarm) && !busy;
  buttons.normal.setAttribute("aria-disabled", String(!can));
  buttons.named.disabled = !name.value.trim();
  buttons.named.setAttribute("aria-disabled", String(!can));
}

export function openLook(chosen) {
  alarm = latestOf(chosen);
  const lesson = taughtAs(alarm);
  name.value = lesson && lesson !== "normal" ? lesson : "";
  say(isOver(alarm) ? "" : "It can be taught once it is over.");
  show();
  if (!box.open) box.showModal();
}

// What came of the event that is open.
export function renewLook() {
  if (!box.open || !alarm) return;
  const now = latestOf(alarm);
  if (isOver(now) && !isOver(alarm)) say("It is over.");
  alarm = now;
  show();
}

function step(by) {
  const other = beside(alarm, by);
  if (other) openLook(other);
}

async function teach(wanted) {
  if (busy) return;
  if (!isOver(alarm)) return say("It can be taught once it is over.");
  const asked = alarm.id; // another may be opened before it is done
  busy = true;
  allow();
  say("The camera is being taught\u2026");
  let text, ok = false;
  try {
    const answer = await fetch("teach", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ alarm: asked, name: wanted }),
    });
    ok = answer.ok;
    const kind = answer.headers.get("Content-Type") ?? "";
    text = kind.startsWith("application/json") ? (await answer.json()).text : await answer.text();
  } catch {
    text = "The server does not answer: is mpn watch still running?";
  }
  busy = false;
  allow();
  if (alarm.id === asked) say(text, !ok);
  return ok;
}

buttons.normal.addEventListener("click", () => teach(null));
buttons.named.addEventListener("click", () => teach(name.value.trim()));
name.addEventListener("input", allow);
name.addEventListener("keydown", (key) => key.key === "Enter" && name.value.trim() && teach(name.value.trim()));
byId("look-newer").addEventListener("click", () => step(-1));
byId("look-older").addEventListener("click", () => step(1));
byId("look-close").addEventListener("click", () => box.close());
box.addEventListener("click", (click) => click.target === box && box.close());
box.addEventListener("close", () => {
  media.replaceChildren();
  shown = "";
  focusRow(alarm);
});
