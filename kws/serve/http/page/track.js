// Track: the last seconds of one microphone.

export const SHOWN_S = 12;
const KEPT_S = SHOWN_S + 3;

export class Track {
  constructor() {
    this.clear();
  }

  clear() {
    this.level = -120;
    this.open = false;
    this.gates = []; // {at, open}: where the gate changed, in seconds of audio
    this.scores = new Map(); // keyword -> [{at, score}]
    this.words = []; // what was heard
    this.heardAt = 0; // the audio clock, and when it stood so
    this.cameAt = 0;
  }

  /** Take what was heard since the last time. */
  take(glance) {
    if (glance.time_s < this.heardAt) this.clear(); // the stream began anew
    this.heardAt = glance.time_s;
    this.cameAt = performance.now();
    this.level = glance.level_db;
    if (!this.gates.length || glance.gate_open !== this.open) {
      this.gates.push({ at: glance.time_s, open: glance.gate_open });
    }
    this.open = glance.gate_open;
    for (const [keyword, scores] of Object.entries(glance.scores)) {
      const points = this.points(keyword);
      scores.forEach((score, index) => points.push({ at: glance.at[index], score }));
    }
    this.forget();
  }

  points(keyword) {
    if (!this.scores.has(keyword)) this.scores.set(keyword, []);
    return this.scores.get(keyword);
  }

  last(keyword) {
    const point = this.points(keyword).at(-1);
    return point && this.heardAt - point.at < 0.5 ? point.score : null;
  }

  /** The audio clock now: it runs on between two messages, but not past what they may miss. */
  now(smoothly) {
    const since = smoothly ? (performance.now() - this.cameAt) / 1000 : 0;
    return this.heardAt + Math.min(since, 0.25);
  }

  forget() {
    const from = this.heardAt - KEPT_S;
    for (const points of this.scores.values()) {
      while (points.length && points[0].at < from) points.shift();
    }
    while (this.gates.length > 1 && this.gates[1].at < from) this.gates.shift();
    this.words = this.words.filter((word) => word.time_s >= from);
  }
}
