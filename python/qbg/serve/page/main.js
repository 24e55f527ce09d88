// The page: photos in, a list of them, files out. The work is server.js', the editing editor.js'.

import * as editor from "./editor.js";
import { Picture } from "./picture.js";
import { Refused, cutOut, setKey } from "./server.js";
import { zip } from "./zip.js";

const $ = (id) => document.getElementById(id);
const THUMBNAIL = 128;

const pictures = [];
let shown = null;

const say = (text) => { $("status").textContent = text; };

function tell() {
  const done = pictures.filter((picture) => picture.ready || picture.error).length;
  const failed = pictures.filter((picture) => picture.error).length;
  $("all").hidden = done === pictures.length;
  $("all").max = pictures.length || 1;
  $("all").value = done;
  $("list-actions").hidden = !pictures.some((picture) => picture.ready);
  if (pictures.length) say(`${done} of ${pictures.length} done${failed ? `, ${failed} failed` : ""}`);
}

function row(picture) {
  const item = document.createElement("li");
  item.innerHTML = '<button type="button"><span class="none"></span><span><span class="file"></span>' +
    '<span class="state"></span></span></button>';
  item.querySelector(".file").textContent = picture.name;
  item.querySelector("button").addEventListener("click", () => (picture.error ? work(picture) : show(picture)));
  picture.item = item;
  $("list").append(item);
  refresh(picture);
}

function refresh(picture) {
  const { item } = picture;
  const words = picture.error ? `${picture.error} (press to try again)` : picture.ready ? "done" : picture.state;
  item.querySelector(".state").textContent = words;
  item.classList.toggle("bad", Boolean(picture.error));
  item.querySelector("button").disabled = !picture.ready && !picture.error;
  item.querySelector("button").setAttribute("aria-current", String(picture === shown));
  if (picture.ready) {
    let thumbnail = item.querySelector("canvas");
    if (!thumbnail) {
      thumbnail = document.createElement("canvas");
      thumbnail.setAttribute("aria-hidden", "true");
      item.querySelector(".none").replaceWith(thumbnail);
    }
    const whole = document.createElement("canvas");
    picture.draw(whole, true);
    const scale = Math.min(1, THUMBNAIL / Math.max(whole.width, whole.height));
    thumbnail.width = Math.max(1, Math.round(whole.width * scale));
    thumbnail.height = Math.max(1, Math.round(whole.height * scale));
    thumbnail.getContext("2d").drawImage(whole, 0, 0, thumbnail.width, thumbnail.height);
  }
}

function show(picture) {
  const before = shown;
  shown = picture;
  editor.open(picture);
  if (before) refresh(before);
}

async function work(picture) {
  picture.error = null;
  try {
    await picture.take(await cutOut(picture.file, (state) => { picture.state = state; refresh(picture); }));
  } catch (error) {
    picture.error = error.message;
    if (error instanceof Refused) $("key-row").hidden = false;
  }
  refresh(picture);
  tell();
  if (picture.ready && !shown) show(picture);
}

function add(files) {
  for (const file of files) {
    const picture = new Picture(file);
    pictures.push(picture);
    row(picture);
    work(picture);
  }
  tell();
}

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

function names(list) {
  const seen = new Set();
  return list.map((picture) => {
    let name = `${picture.stem}.png`;
    for (let number = 2; seen.has(name.toLowerCase()); number++) name = `${picture.stem}-${number}.png`;
    seen.add(name.toLowerCase());
    return name;
  });
}

$("files").addEventListener("change", () => { add($("files").files); $("files").value = ""; });
document.addEventListener("paste", (event) => add([...event.clipboardData.files].filter((file) => file.type.startsWith("image/"))));
for (const kind of ["dragenter", "dragover"]) {
  document.addEventListener(kind, (event) => { event.preventDefault(); $("drop").classList.add("over"); });
}
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) $("drop").classList.remove("over"); });
document.addEventListener("drop", (event) => {
  event.preventDefault();
  $("drop").classList.remove("over");
  add(event.dataTransfer.files);
});

$("download").addEventListener("click", async () => save(await shown.file_out(), `${shown.stem}.png`));
$("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.write([new ClipboardItem({ "image/png": shown.file_out() })]);
    say(`${shown.name} is on the clipboard`);
  } catch (error) {
    say(`The browser doesn't let the page copy: ${error.message}`);
  }
});
$("zip").addEventListener("click", async () => {
  const ready = pictures.filter((picture) => picture.ready);
  const labels = names(ready);
  const files = [];
  for (const [number, picture] of ready.entries()) {
    const blob = await picture.file_out();
    files.push({ name: labels[number], bytes: new Uint8Array(await blob.arrayBuffer()) });
  }
  save(zip(files), "cutouts.zip");
});
$("clear").addEventListener("click", () => {
  pictures.length = 0;
  shown = null;
  $("list").replaceChildren();
  editor.close();
  tell();
  say("");
});
$("key-set").addEventListener("click", () => {
  setKey($("key").value);
  $("key-row").hidden = true;
  for (const picture of pictures.filter((item) => item.error)) work(picture);
});
document.addEventListener("changed", (event) => refresh(event.detail));
editor.start();
