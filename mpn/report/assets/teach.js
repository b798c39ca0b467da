// Teaching the camera by an event: the command to run; and, where the page is served, doing it.

const served = document.querySelector("meta[name='mpn-token']")?.content ?? null;

function makeTeaching() {
  const box = byId("teach"), name = byId("teach-name"), said = byId("teach-said");
  const commands = { normal: byId("teach-normal"), named: byId("teach-named") };
  let event = null;

  // A word for a shell: as it is where nothing in it means anything there.
  const word = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
  const command = (how) => `mpn teach ${word(report.teach.camera)} ${word(`${report.teach.events}#${event.number}`)} ${how}`;

  function write() {
    commands.normal.textContent = command("--normal");
    commands.named.textContent = command(`--name ${word(name.value.trim() || "NAME")}`);
    byId("teach-do-named").disabled = !name.value.trim();
  }

  async function teach(wanted) {
    const buttons = box.querySelectorAll(".teach-do");
    for (const button of buttons) button.disabled = true;
    said.className = "teach-said";
    said.textContent = "Reading the recording\u2026";
    try {
      const answer = await fetch("teach", {
        method: "POST",
        headers: { "Content-Type": "application/json", "X-Mpn-Token": served },
        body: JSON.stringify({ event: event.number, name: wanted }),
      });
      const { text } = await answer.json();
      said.textContent = text;
      said.classList.toggle("failed", !answer.ok);
    } catch {
      said.textContent = "The server does not answer; is mpn report still running?";
      said.classList.add("failed");
    }
    for (const button of buttons) button.disabled = false;
    write();
  }

  async function copy(button) {
    const text = commands[button.dataset.of].textContent;
    try {
      await navigator.clipboard.writeText(text);
      said.textContent = "Copied.";
    } catch { // a page from a file may not, in some browsers
      getSelection().selectAllChildren(commands[button.dataset.of]);
      said.textContent = "Selected: copy it with the keyboard.";
    }
  }

  name.addEventListener("input", write);
  for (const button of box.querySelectorAll(".teach-copy")) button.addEventListener("click", () => copy(button));
  for (const part of box.querySelectorAll(".teach-served")) part.hidden = !served;
  byId("teach-do-normal").addEventListener("click", () => teach(null));
  byId("teach-do-named").addEventListener("click", () => teach(name.value.trim()));
  byId("teach-close").addEventListener("click", () => box.close());

  return (taught, when) => {
    event = taught;
    byId("teach-title").textContent = `Event ${taught.number}, ${when}`;
    byId("teach-why").textContent = taught.why;
    said.textContent = "";
    said.className = "teach-said";
    write();
    box.showModal();
  };
}
