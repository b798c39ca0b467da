// The film: a video whose upper half is the picture and whose lower half its heat map on black.

function makeFilm(onFrame, onState) {
  const video = byId("film"), canvas = byId("drawing"), screen = byId("screen"), box = byId("picture");
  const note = byId("screen-note"), foot = byId("screen-foot");
  const context = canvas.getContext("2d");
  const shown = { heat: true, boxes: true };
  let trace = null, film = null, runs = [], total = 0, address = null;
  let wanted = null, asked = null, current = 0, row = 0, settling = false;

  // Rows of the scores and frames of the film -----------------------------------------------------

  function rowOfFrame(frame) {
    const run = runs[Math.max(0, lowerBound(null, frame + 1, runs.length, (k) => runs[k].offset) - 1)];
    return run.start + run.step * Math.min(frame - run.offset, run.count - 1);
  }

  function frameOfRow(at) {
    const next = lowerBound(null, at + 1, runs.length, (k) => runs[k].start);
    let best = 0, distance = Infinity;
    for (const run of [runs[next - 1], runs[next]]) {
      if (!run) continue;
      const inside = clamp(Math.round((at - run.start) / run.step), 0, run.count - 1);
      const away = Math.abs(run.start + run.step * inside - at);
      if (away < distance) (distance = away), (best = run.offset + inside);
    }
    return best;
  }

  // Loading -----------------------------------------------------------------------------------------

  function load(next) {
    video.pause();
    if (address) URL.revokeObjectURL(address);
    address = null;
    trace = next;
    film = next.film;
    box.hidden = !film;
    note.hidden = true;
    byId("timeline").classList.toggle("filmless", !film);
    if (!film) {
      video.removeAttribute("src");
      video.load();
      return onState();
    }
    runs = [];
    total = 0;
    for (const [start, step, count] of film.rows) {
      runs.push({ start, step, count, offset: total });
      total += count;
    }
    wanted = asked = null;
    screen.style.aspectRatio = `${film.size[1]} / ${film.size[0]}`;
    fit();
    context.clearRect(0, 0, canvas.width, canvas.height);
    if (document.readyState === "loading") {
      document.addEventListener("DOMContentLoaded", () => trace === next && open(), { once: true });
    } else open();
    onState();
  }

  // The film stands in the page below its scripts, so that the curves need not wait for it.
  function open() {
    const holder = film.element && byId(film.element);
    if (holder) {
      address = URL.createObjectURL(new Blob([bytesOf(holder.textContent)], { type: "video/webm" }));
      video.src = address;
    } else if (film.href) video.src = film.href;
    video.load();
  }

  video.addEventListener("error", () => {
    if (!film || !video.getAttribute("src")) return;
    note.textContent = film.href
      ? `The film ${film.href} cannot be played: it must lie beside this page, and the browser know WebM (VP8).`
      : "This browser cannot play the film (WebM, VP8).";
    note.hidden = false;
  });

  // Seeking: one at a time, the latest wish wins ------------------------------------------------------

  const timeOf = (frame) => (frame + 0.5) / film.fps;

  function show(at) {
    row = at;
    settling = false;
    if (!film) return;
    wanted = frameOfRow(at);
    seek();
  }

  function seek() {
    if (wanted === null || video.readyState < 1 || video.seeking) return;
    if (wanted === asked && wanted === current) return draw();
    asked = wanted;
    video.currentTime = timeOf(asked);
  }

  video.addEventListener("loadedmetadata", () => {
    video.playbackRate = Number(byId("speed").value);
    seek();
  });
  video.addEventListener("seeked", () => {
    if (!film) return;
    current = clamp(Math.floor(video.currentTime * film.fps + 0.01), 0, total - 1);
    if (wanted !== null && wanted !== asked) return seek();
    draw();
  });
  video.addEventListener("loadeddata", () => draw());

  // Playing -------------------------------------------------------------------------------------------

  function played(mediaTime) {
    if (!film || video.seeking) return;
    current = clamp(Math.round(mediaTime * film.fps), 0, total - 1);
    if (!video.paused || settling) {
      wanted = asked = current;
      row = rowOfFrame(current);
      onFrame(row);
    }
    draw();
  }

  if ("requestVideoFrameCallback" in HTMLVideoElement.prototype) {
    const next = (_, frame) => {
      played(frame.mediaTime);
      video.requestVideoFrameCallback(next);
    };
    video.requestVideoFrameCallback(next);
  } else {
    const next = () => {
      if (!video.paused) played(video.currentTime - 0.5 / film.fps);
      requestAnimationFrame(next);
    };
    requestAnimationFrame(next);
  }

  function toggle() {
    if (!film) return;
    // A frame that was on its way may still come after the pause, and is then the position.
    settling = !video.paused;
    if (settling) return video.pause();
    if (current >= total - 1) (wanted = 0), seek();
    video.play().catch(() => onState());
  }

  for (const event of ["play", "pause", "ended"]) video.addEventListener(event, onState);

  // Drawing -------------------------------------------------------------------------------------------

  function fit() {
    if (!film || !screen.clientWidth) return;
    const scale = Math.min(2, devicePixelRatio || 1);
    canvas.width = Math.round(screen.clientWidth * scale);
    canvas.height = Math.round((canvas.width * film.size[0]) / film.size[1]);
  }

  new ResizeObserver(() => {
    fit();
    draw();
  }).observe(screen);

  function draw() {
    if (!film || video.readyState < 2 || !video.videoWidth) return;
    const [width, half] = [video.videoWidth, video.videoHeight / 2];
    const whole = [0, 0, canvas.width, canvas.height];
    context.globalCompositeOperation = "source-over";
    context.drawImage(video, 0, 0, width, half, ...whole);
    if (shown.heat) {
      context.globalCompositeOperation = "screen";
      context.globalAlpha = 0.65; // what is under it stays to be seen
      context.drawImage(video, 0, half, width, half, ...whole);
      context.globalAlpha = 1;
      context.globalCompositeOperation = "source-over";
    }
    const drawn = rowOfFrame(current);
    if (shown.boxes && trace.size) drawBoxes(drawn);
    const missing = Math.abs(drawn - row) > 0 && video.paused && !video.seeking;
    foot.textContent = missing ? `picture of ${placeOf(trace, drawn)}, the nearest in the film` : "";
  }

  function drawBoxes(at) {
    const wide = 7, table = trace.regions, count = table.length / wide;
    const scale = canvas.width / trace.size[1];
    const ratio = canvas.width / (screen.clientWidth || canvas.width);
    context.font = `600 ${11 * ratio}px system-ui, sans-serif`;
    context.textBaseline = "bottom";
    for (let k = lowerBound(null, at, count, (i) => table[i * wide]); k < count && table[k * wide] === at; k++) {
      const [, track, score, top, left, height, width] = table.subarray(k * wide, (k + 1) * wide);
      const place = [left * scale, top * scale, width * scale, height * scale];
      context.lineWidth = 4 * ratio;
      context.strokeStyle = "rgba(0, 0, 0, 0.55)";
      context.strokeRect(...place);
      context.lineWidth = 2 * ratio;
      context.strokeStyle = "#ffd166";
      context.strokeRect(...place);
      const text = `#${track}  ${brief(score)}`;
      const foot = place[1] > 18 * ratio ? place[1] - 3 * ratio : place[1] + place[3] + 16 * ratio;
      const start = clamp(place[0], 0, canvas.width - context.measureText(text).width - 8 * ratio);
      context.fillStyle = "rgba(0, 0, 0, 0.65)";
      context.fillRect(start - ratio, foot - 14 * ratio, context.measureText(text).width + 8 * ratio, 15 * ratio);
      context.fillStyle = "#ffd166";
      context.fillText(text, start + 3 * ratio, foot);
    }
  }

  return {
    load, show, toggle, draw,
    pause: () => video.pause(),
    playing: () => Boolean(film) && !video.paused && !video.ended,
    there: () => Boolean(film),
    hasHeat: () => Boolean(film),
    speed: (rate) => (video.playbackRate = rate),
    set: (what, on) => {
      shown[what] = on;
      draw();
    },
  };
}
