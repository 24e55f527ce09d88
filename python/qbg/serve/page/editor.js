// The editor: one picture at a time, with slider, background and brush. Knows nothing of the server.

const $ = (id) => document.getElementById(id);
const STEP = 0.02; // of the longer side: one press of an arrow

let picture = null;
let brush = "none";
let painting = false;
let spot = null; // where the keyboard's brush is

const parts = { root: $("editor"), after: $("after"), before: $("before"), cursor: $("cursor"), slider: $("slider") };

export function close() {
  picture = null;
  parts.root.hidden = true;
}

export function open(which) {
  picture = which;
  parts.root.hidden = false;
  $("name").textContent = which.name;
  const { kind, color } = which.background;
  document.querySelector(`input[name=background][value=${kind}]`).checked = true;
  $("color").value = color;
  parts.before.width = which.cutout.width;
  parts.before.height = which.cutout.height;
  if (which.original) {
    parts.before.getContext("2d").drawImage(which.original, 0, 0, parts.before.width, parts.before.height);
  }
  spot = [which.cutout.width / 2, which.cutout.height / 2];
  render();
  slide();
}

function render() {
  picture.draw(parts.after, true);
  $("undo").disabled = picture.strokes.length === 0;
  $("redo").disabled = picture.undone.length === 0;
  document.dispatchEvent(new CustomEvent("changed", { detail: picture }));
}

function slide() {
  const share = Number(parts.slider.value);
  parts.before.style.clipPath = `inset(0 0 0 ${share}%)`;
  parts.slider.setAttribute("aria-valuetext", share === 100 ? "cut-out only" : `${share} % cut-out, the rest before`);
}

const radius = () => (Number($("size").value) / 200) * Math.max(picture.cutout.width, picture.cutout.height);

function where(event) {
  const box = parts.after.getBoundingClientRect();
  return [
    ((event.clientX - box.left) / box.width) * parts.after.width,
    ((event.clientY - box.top) / box.height) * parts.after.height,
  ];
}

function showCursor() {
  parts.cursor.hidden = brush === "none";
  if (brush === "none") return;
  const scale = parts.after.clientWidth / parts.after.width;
  parts.cursor.style.left = `${spot[0] * scale}px`;
  parts.cursor.style.top = `${spot[1] * scale}px`;
  parts.cursor.style.width = parts.cursor.style.height = `${2 * radius() * scale}px`;
}

export function start() {
  parts.slider.addEventListener("input", slide);
  for (const input of document.querySelectorAll("input[name=background]")) {
    input.addEventListener("change", () => {
      picture.background.kind = input.value;
      if (input.value === "image" && !picture.background.image) $("backdrop").click();
      render();
    });
  }
  $("color").addEventListener("input", () => {
    picture.background = { ...picture.background, kind: "color", color: $("color").value };
    document.querySelector("input[name=background][value=color]").checked = true;
    render();
  });
  $("backdrop").addEventListener("change", async () => {
    const [file] = $("backdrop").files;
    if (!file) return;
    picture.background = { ...picture.background, kind: "image", image: await createImageBitmap(file) };
    document.querySelector("input[name=background][value=image]").checked = true;
    render();
  });
  for (const input of document.querySelectorAll("input[name=brush]")) {
    input.addEventListener("change", () => {
      brush = input.value;
      if (brush !== "none") parts.slider.value = 100;
      slide();
      showCursor();
    });
  }
  $("size").addEventListener("input", showCursor);
  const undo = () => { picture.undo(); render(); };
  const redo = () => { picture.redo(); render(); };
  $("undo").addEventListener("click", undo);
  $("redo").addEventListener("click", redo);

  parts.after.addEventListener("pointerdown", (event) => {
    if (brush === "none" || event.button !== 0) return;
    parts.after.setPointerCapture(event.pointerId);
    painting = true;
    picture.begin(brush, radius());
    picture.add(...where(event));
    render();
  });
  parts.after.addEventListener("pointermove", (event) => {
    spot = where(event);
    showCursor();
    if (!painting) return;
    picture.add(...spot);
    render();
  });
  for (const end of ["pointerup", "pointercancel"]) parts.after.addEventListener(end, () => { painting = false; });

  parts.after.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const step = STEP * Math.max(parts.after.width, parts.after.height) * (event.shiftKey ? 0.25 : 1);
    if (brush !== "none" && moves[event.key]) {
      const [x, y] = moves[event.key];
      spot = [spot[0] + x * step, spot[1] + y * step];
      showCursor();
    } else if (brush !== "none" && event.key === " ") {
      picture.begin(brush, radius());
      picture.add(...spot);
      render();
    } else if (event.key.toLowerCase() === "z") {
      event.shiftKey ? redo() : undo();
    } else {
      return;
    }
    event.preventDefault();
  });
}
