// Heard: the words, the newest first, with their audio where it was kept.

import { ask } from "./api.js";
import { written } from "./scale.js";

const MOST = 200;
const TOLD = 5; // lines that a screen reader may look back at
const TRIES = 8; // a recording is written a moment after its word

const list = document.getElementById("events");
const player = document.getElementById("player");
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium", hourCycle: "h23" });
let playing = null; // the button of what is played
let address = ""; // of its audio

/** Show these words and no others, the newest first. */
export function showAll(words) {
  list.replaceChildren(...words.map(item));
  document.getElementById("nothing").hidden = words.length > 0;
}

/** Show a word above all others, and tell it to who can't see. */
export function show(word) {
  list.prepend(item(word));
  while (list.children.length > MOST) list.lastChild.remove();
  document.getElementById("nothing").hidden = true;
  const told = document.getElementById("told");
  told.append(part("p", "", `${word.keyword} heard, score ${written(word.score)}`));
  if (told.children.length > TOLD) told.firstChild.remove();
}

let complain;

/** Let this be told why something can't be played. */
export function onComplaint(told) {
  complain = told;
}

function item(word) {
  const moment = new Date(1000 * word.wall_time);
  const line = document.createElement("li");
  line.dataset.role = word.role;
  line.dataset.keyword = word.keyword;
  const time = part("time", "", clock.format(moment));
  time.dateTime = moment.toISOString();
  const what = part("span", "what", "");
  what.append(part("span", "word", word.keyword));
  const where = part("span", "where", word.microphone); // shown where there are several
  what.append(" ", where);
  const figure = part("span", "figure", written(word.score));
  figure.title = `threshold ${written(word.threshold)}, ${word.level_db} dBFS`;
  line.append(time, what, figure);
  if (word.recording_id) {
    const button = part("button", "", "▶");
    button.type = "button";
    button.setAttribute("aria-label", `Play ${word.keyword} of ${clock.format(moment)}`);
    button.addEventListener("click", () => toggle(button, word.recording_id));
    line.append(button);
  }
  return line;
}

function part(name, style, text) {
  const element = document.createElement(name);
  if (style) element.className = style;
  element.textContent = text;
  return element;
}

async function toggle(button, audio) {
  const again = playing === button;
  stop();
  if (again) return;
  playing = button;
  button.textContent = "■";
  button.setAttribute("aria-pressed", "true");
  try {
    const blob = await fetched(audio);
    if (playing !== button) return;
    address = URL.createObjectURL(blob);
    player.src = address;
    await player.play();
  } catch (error) {
    if (playing === button) stop();
    complain(`That can't be played: ${error.message}`);
  }
}

async function fetched(audio) {
  for (let tries = 0; ; tries += 1) {
    const answer = await ask(`v1/recordings/${audio}`);
    if (answer.ok) return answer.blob();
    if (tries === TRIES) throw new Error((await answer.json()).error);
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}

function stop() {
  player.pause();
  if (playing) {
    playing.textContent = "▶";
    playing.removeAttribute("aria-pressed");
  }
  playing = null;
  if (address) URL.revokeObjectURL(address);
  address = "";
}

player.addEventListener("ended", stop);
