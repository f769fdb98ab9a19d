// Strip: one keyword's score as it scrolls by, and its threshold, a line that can be moved.

import { height, moved, score, written } from "./scale.js";
import { SHOWN_S } from "./track.js";

const GRID = { 0.5: ".5", 0.9: ".9", 0.99: ".99", 0.999: ".999" };
const NEAR = 14; // pixels from the line at which a mouse takes hold of it
const GAP_S = 0.4; // scores further apart than this are not joined: the gate was closed
const KEYS = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1, PageUp: 8, PageDown: -8 };

const made = (name, style, text) => {
  const element = document.createElement(name);
  if (style) element.className = style;
  if (text) element.textContent = text;
  return element;
};

export class Strip {
  /** changed: is told (keyword, threshold, whether it is let go of). */
  constructor(keyword, threshold, changed) {
    this.keyword = keyword;
    this.changed = changed;
    this.held = false;
    this.build();
    this.show(threshold);
    this.listen();
  }

  build() {
    const { name, role, phrase } = this.keyword;
    this.element = made("article", "strip");
    this.element.dataset.keyword = name;
    this.element.dataset.role = role;
    const top = made("div", "top");
    this.number = made("span", "score", "–");
    this.number.setAttribute("aria-hidden", "true");
    this.back = made("button", "back", "↺");
    this.back.type = "button";
    this.back.hidden = true;
    top.append(made("h3", "", phrase === name ? name : `${name} “${phrase}”`));
    if (role === "wake") top.append(made("span", "role", "wake"));
    top.append(this.back, this.number);
    this.plot = made("div", "plot");
    this.canvas = made("canvas");
    this.canvas.setAttribute("aria-hidden", "true");
    this.line = made("div", "line");
    this.handle = made("div", "handle");
    this.handle.tabIndex = 0;
    const said = { role: "slider", "aria-orientation": "vertical", "aria-valuemin": 0 };
    Object.assign(said, { "aria-valuemax": 1, "aria-label": `Threshold of ${name}` });
    for (const [key, value] of Object.entries(said)) this.handle.setAttribute(key, value);
    this.handle.append(made("span"));
    this.plot.append(this.canvas, this.line, this.handle);
    this.element.append(top, this.plot);
  }

  /** Show the line where it is. */
  show(threshold) {
    this.threshold = threshold;
    const at = `${100 * (1 - height(threshold))}%`;
    this.line.style.top = at;
    this.handle.style.top = at;
    this.handle.firstChild.textContent = written(threshold);
    this.handle.setAttribute("aria-valuenow", threshold);
    this.handle.setAttribute("aria-valuetext", written(threshold));
    this.offer(this.usual);
  }

  /** Offer the way back to the model's own threshold. */
  offer(usual) {
    this.usual = usual;
    this.back.hidden = usual === undefined || usual === this.threshold;
    if (usual === undefined) return;
    this.back.title = `Back to the model's ${written(usual)}`;
    this.back.setAttribute("aria-label", `${this.keyword.name}: ${this.back.title.toLowerCase()}`);
  }

  /** Let the line be moved, or not. */
  allow(yes) {
    this.allowed = yes;
    this.handle.setAttribute("aria-disabled", !yes);
    this.back.disabled = !yes;
    if (!yes) this.held = false;
  }

  move(threshold, done) {
    if (!this.allowed) return;
    this.show(threshold);
    this.changed(this.keyword.name, threshold, done);
  }

  listen() {
    this.back.addEventListener("click", () => {
      this.move(this.usual, true);
      this.handle.focus();
    });
    this.handle.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.altKey || event.metaKey) return;
      let to;
      if (event.key in KEYS) to = moved(this.threshold, KEYS[event.key]);
      else if (event.key === "Home") to = 0;
      else if (event.key === "End") to = 1;
      else return;
      event.preventDefault();
      this.move(to, true);
    });
    const plot = this.plot;
    plot.addEventListener("pointerdown", (event) => this.take(event));
    plot.addEventListener("pointermove", (event) => this.drag(event));
    plot.addEventListener("lostpointercapture", () => this.drop());
  }

  /** A finger scrolls the page, unless it takes the handle; a mouse may take the line itself. */
  take(event) {
    const onHandle = this.handle.contains(event.target);
    if (!this.allowed || event.button || !(onHandle || this.near(event))) return;
    const box = this.plot.getBoundingClientRect();
    this.grip = event.clientY - box.top - (1 - height(this.threshold)) * box.height;
    this.held = true;
    this.plot.setPointerCapture(event.pointerId);
    event.preventDefault();
    this.handle.focus({ preventScroll: true, focusVisible: false });
  }

  near(event) {
    if (event.pointerType === "touch") return false;
    const box = this.plot.getBoundingClientRect();
    const line = box.top + (1 - height(this.threshold)) * box.height;
    return Math.abs(event.clientY - line) <= NEAR;
  }

  drag(event) {
    if (!this.held) {
      this.plot.classList.toggle("near", this.near(event));
      return;
    }
    const box = this.plot.getBoundingClientRect();
    const to = score(1 - (event.clientY - this.grip - box.top) / box.height);
    if (to !== this.threshold) this.move(to, false);
  }

  drop() {
    if (this.held) this.move(this.threshold, true);
    this.held = false;
  }

  /** Light up: the word was heard. */
  fire() {
    this.element.classList.add("fired");
    clearTimeout(this.fading);
    this.fading = setTimeout(() => this.element.classList.remove("fired"), 1500);
  }

  /** Draw the last seconds. */
  draw(track, smoothly, colours) {
    const last = track.last(this.keyword.name);
    this.number.textContent = last === null ? "–" : written(last);
    const box = this.canvas.getBoundingClientRect();
    if (box.bottom < 0 || box.top > innerHeight) return;
    const scale = devicePixelRatio || 1;
    const [width, tall] = [Math.round(box.width * scale), Math.round(box.height * scale)];
    if (this.canvas.width !== width) this.canvas.width = width;
    if (this.canvas.height !== tall) this.canvas.height = tall;
    const pen = this.canvas.getContext("2d");
    const now = track.now(smoothly);
    const x = (at) => width * (1 - (now - at) / SHOWN_S);
    const y = (value) => scale + (tall - 2 * scale) * (1 - height(value));
    pen.clearRect(0, 0, width, tall);
    this.drawGate(pen, track, x, width, tall, colours);
    this.drawGrid(pen, y, width, scale, colours);
    const tone = colours[this.keyword.role === "wake" ? "wake" : "word"];
    this.drawScores(pen, track.points(this.keyword.name), x, y, tall, scale, tone);
    this.drawWords(pen, track, x, y, tall, scale, tone);
  }

  drawGrid(pen, y, width, scale, colours) {
    pen.font = `${9 * scale}px system-ui, sans-serif`;
    pen.textBaseline = "middle";
    pen.fillStyle = colours.soft;
    for (const [value, text] of Object.entries(GRID)) {
      const at = Math.round(y(Number(value)));
      const begin = Math.round(pen.measureText(text).width + 6 * scale);
      pen.fillText(text, 3 * scale, at);
      pen.globalAlpha = 0.35;
      pen.fillRect(begin, at, width - begin, scale);
      pen.globalAlpha = 1;
    }
  }

  drawGate(pen, track, x, width, tall, colours) {
    pen.fillStyle = colours.open;
    track.gates.forEach(({ at, open }, index) => {
      const end = track.gates[index + 1];
      if (open) pen.fillRect(x(at), 0, (end ? x(end.at) : width) - x(at), tall);
    });
  }

  drawScores(pen, points, x, y, tall, scale, tone) {
    const runs = [];
    points.forEach((point, index) => {
      if (!index || point.at - points[index - 1].at > GAP_S) runs.push([]);
      runs.at(-1).push(point);
    });
    pen.lineWidth = 1.6 * scale;
    pen.lineJoin = "round";
    pen.strokeStyle = tone;
    for (const run of runs) {
      pen.beginPath();
      for (const { at, score: value } of run) pen.lineTo(x(at), y(value));
      pen.stroke();
      pen.lineTo(x(run.at(-1).at), tall);
      pen.lineTo(x(run[0].at), tall);
      pen.globalAlpha = 0.16;
      pen.fillStyle = tone;
      pen.fill();
      pen.globalAlpha = 1;
    }
  }

  drawWords(pen, track, x, y, tall, scale, tone) {
    pen.fillStyle = tone;
    for (const word of track.words) {
      if (word.keyword !== this.keyword.name) continue;
      pen.globalAlpha = 0.5;
      pen.fillRect(x(word.time_s) - scale / 2, 0, scale, tall);
      pen.globalAlpha = 1;
      pen.beginPath();
      pen.arc(x(word.time_s), y(word.score), 3.5 * scale, 0, 2 * Math.PI);
      pen.fill();
    }
  }
}
