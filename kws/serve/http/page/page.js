// Page: joins the stream of what is heard with what shows it.

import { showHealth, showModels } from "./about.js";
import { ask, follow, json } from "./api.js";
import { onComplaint, show, showAll } from "./heard.js";
import { Strip } from "./strip.js";
import { written } from "./scale.js";
import { Track } from "./track.js";

const QUIET_DB = -80;
const STATES = { ok: "hears well", degraded: "hears badly", deaf: "deaf" };
const RETRY_MS = [500, 1000, 2000, 4000];
const TOLD_MS = 150; // so often a line that is being dragged is told

const at = (id) => document.getElementById(id);
const still = matchMedia("(prefers-reduced-motion: reduce)");
const dark = matchMedia("(prefers-color-scheme: dark)");

const tracks = new Map(); // microphone -> Track
const strips = new Map(); // keyword -> Strip
let levels = {}; // the thresholds that hold
let usual = {}; // the models' own
let heardSince = false; // whether the daemon has said anything in this connection
let colours = readColours();

// -- the connection -----------------------------------------------------------------------------

async function stay() {
  for (let failed = 0; ; failed += 1) {
    heardSince = false;
    let why = "the daemon ended it";
    try {
      await follow("v1/live", take);
    } catch (error) {
      why = error.name === "AbortError" ? "nothing came for 5 s" : error.message;
    }
    if (heardSince) failed = 0;
    lost(why);
    await new Promise((r) => setTimeout(r, RETRY_MS[Math.min(failed, RETRY_MS.length - 1)]));
  }
}

function lost(why) {
  document.body.dataset.connection = "lost";
  tell("lost", "connection lost");
  alarm(`No connection to kws since ${new Date().toLocaleTimeString()} (${why}). What stands here is `
    + "old; it is tried again.");
  at("microphones").replaceChildren();
  for (const strip of strips.values()) {
    strip.allow(false);
    strip.show(levels[strip.keyword.name] ?? strip.threshold);
  }
}

const TAKERS = { setup, live, detection, thresholds };

function take(message) {
  heardSince = true;
  TAKERS[message.type]?.(message);
}

async function setup(said) {
  document.body.dataset.connection = "live";
  alarm("");
  document.title = `kws ${said.version}`;
  at("recording").textContent = said.recording ? "" : "No audio is kept: see [record] in the config.";
  offer(said.microphones);
  levels = said.thresholds;
  for (const track of tracks.values()) track.clear();
  build(said.keywords);
  checkHealth();
  try {
    showAll(await json("v1/detections"));
    usual = await showModels();
    for (const [name, strip] of strips) strip.offer(usual[name]);
  } catch (error) {
    if (document.body.dataset.connection === "live") alarm(error.message);
  }
}

function offer(microphones) {
  const select = at("microphone");
  const chosen = select.value;
  select.replaceChildren(...microphones.map((name) => new Option(name, name)));
  if (microphones.includes(chosen)) select.value = chosen;
  at("choose").hidden = microphones.length < 2;
  document.body.classList.toggle("several", microphones.length > 1);
}

function build(keywords) {
  const wanted = new Set(keywords.map((keyword) => keyword.name));
  for (const [name, strip] of strips) {
    if (wanted.has(name)) continue;
    strip.element.remove();
    strips.delete(name);
  }
  const box = at("strips");
  keywords.forEach((keyword, index) => {
    const { name } = keyword;
    if (!strips.has(name)) strips.set(name, new Strip(keyword, levels[name], changed));
    const strip = strips.get(name);
    if (box.children[index] !== strip.element) box.insertBefore(strip.element, box.children[index]);
    strip.show(levels[name]);
    strip.allow(true);
  });
}

// -- what comes ---------------------------------------------------------------------------------

const track = (microphone) => {
  if (!tracks.has(microphone)) tracks.set(microphone, new Track());
  return tracks.get(microphone);
};

function live(glance) {
  track(glance.microphone).take(glance);
}

function detection(word) {
  track(word.microphone).words.push(word);
  show(word);
  if (word.microphone === at("microphone").value) strips.get(word.keyword)?.fire();
}

function thresholds(said) {
  levels = said.thresholds;
  for (const [name, strip] of strips) {
    if (!strip.held && !waiting.has(name) && name in levels) strip.show(levels[name]);
  }
}

// -- thresholds ---------------------------------------------------------------------------------

const waiting = new Map(); // keyword -> the threshold that is to be told
let telling = false;

function changed(name, threshold, done) {
  waiting.set(name, threshold);
  if (!telling) tellLater(done ? 0 : TOLD_MS);
}

async function tellLater(pause) {
  telling = true;
  await new Promise((resolve) => setTimeout(resolve, pause));
  while (waiting.size) {
    const wanted = Object.fromEntries(waiting);
    try {
      const body = JSON.stringify(wanted);
      const headers = { "Content-Type": "application/json" };
      const said = await json("v1/thresholds", { method: "POST", body, headers });
      levels = said.thresholds;
      kept(wanted, said);
    } catch (error) {
      alarm(`The threshold was not changed: ${error.message}`);
      for (const name of Object.keys(wanted)) strips.get(name)?.show(levels[name]);
    }
    for (const [name, level] of Object.entries(wanted)) {
      if (waiting.get(name) === level) waiting.delete(name);
    }
    if (waiting.size) await new Promise((resolve) => setTimeout(resolve, TOLD_MS));
  }
  telling = false;
}

let telling_kept;
function kept(wanted, said) {
  const [[name, level]] = Object.entries(wanted).slice(-1);
  clearTimeout(telling_kept);
  telling_kept = setTimeout(() => {
    const where = said.note ?? `Kept in ${said.kept_in}.`;
    at("kept").textContent = `${name} fires from ${written(level)} on. ${where}`;
  }, 400);
}

// -- health -------------------------------------------------------------------------------------

async function checkHealth() {
  clearTimeout(checkHealth.next);
  if (document.body.dataset.connection !== "live") return;
  try {
    const said = await (await ask("healthz")).json(); // also where it says 503: deaf
    if (document.body.dataset.connection !== "live") return;
    tell(said.status, STATES[said.status] ?? said.status);
    showHealth(said);
  } catch {
    // the stream tells that the connection is lost
  }
  checkHealth.next = setTimeout(checkHealth, 2000);
}

function tell(state, text) {
  if (at("state").dataset.state === state) return;
  at("state").dataset.state = state;
  at("state").textContent = text;
}

function alarm(text) {
  at("alert").hidden = !text;
  at("alert").textContent = text;
}

// -- drawing ------------------------------------------------------------------------------------

function readColours() {
  const style = getComputedStyle(document.documentElement);
  const names = ["word", "wake", "open", "soft"];
  return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

const minus = (level) => String(Math.round(level)).replace("-", "−");

let drawn = 0;
function draw(now) {
  requestAnimationFrame(draw);
  if (now - drawn < (still.matches ? 1000 : 33)) return;
  if (document.body.dataset.connection !== "live") return;
  drawn = now;
  const shown = track(at("microphone").value);
  const level = Math.max(QUIET_DB, shown.level);
  const fresh = performance.now() - shown.cameAt < 1500;
  at("level").firstElementChild.style.transform = `scaleX(${fresh ? 1 - level / QUIET_DB : 0})`;
  at("level").setAttribute("aria-valuenow", Math.round(level));
  at("level").setAttribute("aria-valuetext", `${Math.round(level)} dBFS`);
  at("decibels").textContent = fresh ? `${minus(shown.level)} dBFS` : "no audio";
  at("gate").textContent = `gate ${shown.open ? "open" : "closed"}`;
  at("gate").dataset.open = shown.open;
  for (const strip of strips.values()) strip.draw(shown, !still.matches, colours);
}

dark.addEventListener("change", () => {
  colours = readColours();
});
onComplaint(alarm);
requestAnimationFrame(draw);
stay();
