// Api: asks the daemon, with the token where one is needed; a browser sends none by itself.

const KEY = "kws-token";
const SILENT_MS = 5000; // without a sign of life for so long, the daemon is taken for dead

let asking = null;

/** Return the daemon's answer; asks for the token where it wants one. Throws what is wrong. */
export async function ask(path, options = {}) {
  for (;;) {
    const token = sessionStorage.getItem(KEY);
    const headers = { ...options.headers };
    if (token) headers.Authorization = `Bearer ${token}`;
    const answer = await fetch(path, { ...options, headers, cache: "no-store" });
    if (answer.status !== 401) return answer;
    if (sessionStorage.getItem(KEY) === token) await newToken(token !== null);
  }
}

/** Return the JSON that the daemon answers. Throws an Error in its words. */
export async function json(path, options) {
  const answer = await ask(path, options);
  const said = await answer.json();
  if (!answer.ok) throw new Error(said.error ?? answer.statusText);
  return said;
}

/** Hand each message of a stream of server-sent events on, until it ends or falls silent. */
export async function follow(path, take) {
  const leaving = new AbortController();
  let waiting;
  const alive = () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => leaving.abort(), SILENT_MS);
  };
  try {
    const answer = await ask(path, { signal: leaving.signal });
    if (!answer.ok) throw new Error((await answer.json()).error);
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (alive(); ; alive()) {
      const { value, done } = await reader.read();
      if (done) return;
      const parts = (text + value).split("\n\n");
      text = parts.pop();
      for (const part of parts) {
        if (part.startsWith("data: ")) take(JSON.parse(part.slice(6)));
      }
    }
  } finally {
    clearTimeout(waiting);
    leaving.abort();
  }
}

function newToken(wrong) {
  asking ??= new Promise((resolve) => {
    const dialog = document.getElementById("ask");
    const input = document.getElementById("token");
    if (wrong) document.getElementById("ask-why").textContent = "That is not the token.";
    const stay = (event) => event.preventDefault();
    const given = (event) => {
      event.preventDefault();
      sessionStorage.setItem(KEY, input.value.trim());
      input.value = "";
      dialog.close();
      dialog.removeEventListener("cancel", stay);
      asking = null;
      resolve();
    };
    dialog.addEventListener("cancel", stay);
    dialog.querySelector("form").addEventListener("submit", given, { once: true });
    dialog.showModal();
    input.focus();
  });
  return asking;
}
