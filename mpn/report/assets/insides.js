// The network's insides: which frame, and each picture enlarged.

function showInsides(timeline) {
  const dialog = byId("enlarged");
  if (!dialog) return;
  let shown = [], at = 0;

  byId("inside")?.addEventListener("change", (change) => {
    for (const made of document.querySelectorAll(".inside")) made.hidden = made.id !== `inside-${change.target.value}`;
  });

  document.querySelectorAll(".inside").forEach((made, index) => {
    const { trace, row } = report.insides[index];
    const go = made.querySelector(".goto");
    if (trace === null || !report.traces[trace]) go.hidden = true;
    else {
      made.querySelector(".inside-where").textContent = placeOf(traceAt(trace), row);
      go.addEventListener("click", () => timeline.go(trace, row, made));
    }
    const figures = [...made.querySelectorAll("figure")];
    figures.forEach((figure, k) => figure.querySelector("button").addEventListener("click", () => {
      shown = figures;
      enlarge(k);
      dialog.showModal();
    }));
  });
  byId("inside")?.querySelectorAll("option").forEach((option, index) => {
    const { trace, row } = report.insides[index];
    if (trace !== null) option.textContent = option.textContent.replace(`, row ${row}:`, `, ${placeOf(traceAt(trace), row)}:`);
  });

  function enlarge(k) {
    at = (k + shown.length) % shown.length;
    const image = shown[at].querySelector("img");
    byId("enlarged-picture").src = image.src;
    byId("enlarged-picture").alt = image.alt;
    byId("enlarged-title").textContent = shown[at].querySelector(".picture-title").textContent;
    byId("enlarged-caption").textContent = shown[at].querySelector(".caption").textContent;
  }

  byId("enlarged-previous").addEventListener("click", () => enlarge(at - 1));
  byId("enlarged-next").addEventListener("click", () => enlarge(at + 1));
  byId("enlarged-close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") enlarge(at - 1);
    if (event.key === "ArrowRight") enlarge(at + 1);
  });
}
