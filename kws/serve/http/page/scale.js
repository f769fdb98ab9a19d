// Scale: scores 0 to 1 on a strip, by their odds: 0.99 and 0.999 are as far apart as 0.9 and 0.99,
// for that is where thresholds stand.

const LOWEST = -5; // 0.007
const HIGHEST = 10; // 0.99995

const odds = (score) => Math.log(score / (1 - score));

/** Return how high a score stands: 0 is the bottom, 1 the top. */
export function height(score) {
  if (score <= 0) return 0;
  if (score >= 1) return 1;
  return Math.min(1, Math.max(0, (odds(score) - LOWEST) / (HIGHEST - LOWEST)));
}

/** Return the score at a height; the bottom is 0, the top is 1. */
export function score(at) {
  if (at <= 0) return 0;
  if (at >= 1) return 1;
  return rounded(1 / (1 + Math.exp(-(LOWEST + at * (HIGHEST - LOWEST)))));
}

/** Return the score that is so many steps up, each a sixtieth of the way. */
export function moved(from, steps) {
  return score(height(from) + steps / 60);
}

/** Return a score as it is written. */
export function written(value) {
  const digits = value > 0.9999 ? 5 : value > 0.9 ? 4 : 3;
  return value.toFixed(value < 1 ? digits : 3);
}

const rounded = (value) => Math.round(value * 1e5) / 1e5;
