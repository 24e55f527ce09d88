// Photos to the server and back, a few at a time. Knows nothing of the page.

const AT_ONCE = 4;
const MOST_TRIES = 20;

let running = 0;
const waiting = [];
let key = "";

export class Refused extends Error {}

export function setKey(text) { key = text; }

async function turn() {
  if (running >= AT_ONCE) await new Promise((go) => waiting.push(go));
  running += 1;
}

function next() {
  running -= 1;
  waiting.shift()?.();
}

/** The cut-out of one photo, as a Blob of PNG. onState is told "waiting" and "working". */
export async function cutOut(file, onState) {
  onState("waiting");
  await turn();
  try {
    for (let tries = 0; tries < MOST_TRIES; tries++) {
      onState("working");
      const headers = { "Content-Type": "application/octet-stream", Accept: "image/png" };
      if (key) headers.Authorization = `Bearer ${key}`;
      const answer = await fetch("/v1/cutout", { method: "POST", body: file, headers });
      if (answer.ok) return await answer.blob();
      if (answer.status === 429) {
        onState("the server is busy; waiting");
        const seconds = Number(answer.headers.get("Retry-After")) || 1;
        await new Promise((go) => setTimeout(go, 1000 * seconds));
        continue;
      }
      const body = await answer.json().catch(() => null);
      const message = body?.error?.message ?? `the server answers ${answer.status}`;
      throw answer.status === 401 ? new Refused(message) : new Error(message);
    }
    throw new Error("the server stays busy");
  } finally {
    next();
  }
}
