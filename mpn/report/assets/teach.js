// Teaching the camera by an event: the command to run; where the page is served (mpn report --serve), a click.

const served = JSON.parse(document.querySelector("meta[name='mpn-served']")?.content ?? "null");

// What opens the dialog and what is said of an event that was taught; null where there is no camera file.
function makeTeaching(onTaught) {
  const camera = served ? served.camera : report.teach.camera;
  if (!camera) {
    byId("teach-none").hidden = !report.traces.some((trace) => trace.events.length);
    return null;
  }
  const box = byId("teach"), name = byId("teach-name"), said = byId("teach-said");
  const commands = { normal: byId("teach-normal"), named: byId("teach-named") };
  const taught = new Map(served?.taught ?? []); // name by the frame of the peak; null: it is normal
  let event = null, busy = false;

  // A word for a shell: as it is where nothing in it means anything there.
  const word = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
  const command = (how) => `mpn teach ${word(camera)} ${word(`${report.teach.events}#${event.number}`)} ${how}`;

  function write() {
    const wanted = name.value.trim();
    commands.normal.textContent = command("--normal");
    commands.named.textContent = command(`--name${wanted.startsWith("-") ? "=" : " "}${word(wanted || "NAME")}`);
    byId("teach-do-named").disabled = !wanted;
  }

  function say(text, failed = false) {
    said.textContent = text;
    said.classList.toggle("failed", failed);
  }

  // A button that is disabled would lose the focus.
  function wait(on) {
    busy = on;
    for (const button of box.querySelectorAll(".teach-do")) button.setAttribute("aria-disabled", String(on));
    if (on) say("Reading the recording\u2026");
  }

  async function teach(wanted) {
    if (busy) return;
    const { number, frame } = event; // another may be chosen before it is done
    wait(true);
    try {
      const answer = await fetch("teach", {
        method: "POST",
        referrerPolicy: "same-origin",
        headers: { "Content-Type": "application/json", "X-Mpn-Token": served.token },
        body: JSON.stringify({ event: number, frame, name: wanted }),
      });
      const { text } = await answer.json();
      say(text, !answer.ok);
      if (answer.ok) {
        taught.set(frame, wanted);
        onTaught();
      }
    } catch {
      say("The server does not answer: is mpn report still running?", true);
    }
    wait(false);
  }

  async function copy(button) {
    const from = commands[button.dataset.of];
    try {
      await navigator.clipboard.writeText(from.textContent);
      say("Copied.");
    } catch { // some browsers let no page from a file do it
      getSelection().selectAllChildren(from);
      say("Selected: copy it with the keyboard.");
    }
  }

  // Of the table's button, which may be another by then.
  const back = (frame) => document.querySelector(`.teach-open[data-frame="${frame}"]`)?.focus();

  name.addEventListener("input", write);
  name.addEventListener("keydown", (key) => key.key === "Enter" && served && byId("teach-do-named").click());
  for (const button of box.querySelectorAll(".teach-copy")) button.addEventListener("click", () => copy(button));
  for (const part of box.querySelectorAll(".teach-served")) part.hidden = !served;
  for (const part of box.querySelectorAll(".teach-file")) part.hidden = Boolean(served);
  byId("teach-do-normal").addEventListener("click", () => teach(null));
  byId("teach-do-named").addEventListener("click", () => teach(name.value.trim()));
  byId("teach-close").addEventListener("click", () => box.close());
  box.addEventListener("click", (click) => click.target === box && box.close());
  box.addEventListener("close", () => back(event.frame));

  return {
    open(chosen, when) {
      event = chosen;
      byId("teach-title").textContent = `Event ${chosen.number}, ${when}`;
      byId("teach-why").textContent = chosen.why;
      name.value = taught.get(chosen.frame) ?? "";
      say(busy ? said.textContent : "");
      write();
      box.showModal();
    },
    // "normal", a name, or null where the camera was not taught the event.
    of: (one) => (taught.has(one.frame) ? taught.get(one.frame) ?? "normal" : null),
  };
}
