// About: what is known of the models, of the microphones' health, and what programs can ask.

import { json } from "./api.js";
import { written } from "./scale.js";

const STATES = { ok: "hears well", degraded: "hears badly", deaf: "deaf" };

const made = (name, text, ...inside) => {
  const element = document.createElement(name);
  element.textContent = text ?? "";
  element.append(...inside);
  return element;
};

/** Show how well each microphone hears. */
export function showHealth(said) {
  const lines = Object.entries(said.microphones).map(([name, found]) => {
    const line = made("li");
    line.dataset.state = found.status;
    const status = made("span", STATES[found.status] ?? found.status);
    status.className = "status";
    const age = made("span", found.frame_age_s === null ? "no audio yet" : aged(found.frame_age_s));
    age.className = "age";
    line.append(made("span", name), status, age, ...found.reasons.map((why) => made("span", why)));
    return line;
  });
  document.getElementById("microphones").replaceChildren(...lines);
}

const aged = (seconds) => (seconds < 1 ? "audio now" : `last audio ${seconds.toFixed(0)} s ago`);

/** Show the models' cards; return each keyword's own threshold. */
export async function showModels() {
  const cards = await json("v1/models");
  document.getElementById("cards").replaceChildren(...cards.map(card));
  const levels = cards.flatMap((one) =>
    Object.entries(one.thresholds ?? {}).map(([name, { value }]) => [name, value]),
  );
  return Object.fromEntries(levels);
}

function card(one) {
  const box = made("div", "", made("h3", one.name || one.file));
  box.className = "card";
  if (one.description) box.append(made("p", one.description));
  const facts = {
    file: one.file,
    kind: `${one.kind} model of the ${one.family} family, ${one.activation} scores`,
    licence: one.licence,
    languages: (one.languages ?? []).join(", "),
    gate: one.gate?.name ?? "none",
    verifier: one.verifier,
    made: `${one.date} with ${one.producer}`,
  };
  const list = made("dl");
  for (const [name, text] of Object.entries(facts)) {
    if (text) list.append(made("dt", name), made("dd", text));
  }
  const tables = made("div", "", words(one), ...alarms(one), ...points(one), ...figures(one));
  tables.className = "tables";
  box.append(list, tables, ...data(one));
  return box;
}

function words(one) {
  const rows = one.labels
    .filter((label) => (label.role ?? "background") !== "background")
    .map((label) => {
      const level = one.thresholds?.[label.name];
      const role = label.role === "wake" ? "wake word" : "command";
      return [label.name, role, level ? written(level.value) : "0.5"];
    });
  return table("Words, with the model's own thresholds", ["word", "", "threshold"], rows);
}

// What was measured at these thresholds: one figure for all words together that share it.
function alarms(one) {
  const sharing = new Map();
  for (const [name, level] of Object.entries(one.thresholds ?? {})) {
    if (!level.false_alarms) continue;
    const figure = rate(level.false_alarms);
    sharing.set(figure, [...(sharing.get(figure) ?? []), name]);
  }
  if (!sharing.size) return [];
  const rows = [...sharing].map(([figure, names]) => [names.join(", "), figure]);
  return [table("At these thresholds", ["words, together", "false alarms an hour (95 %)"], rows)];
}

function points(one) {
  if (!one.operating_points?.length) return [];
  const rows = one.operating_points.map((point) => [
    `${point.role === "wake" ? "wake words" : "commands"} at ${point.false_alarms_per_hour}/h`,
    rate(point.measured),
    point.miss_rate === undefined ? "–" : percent(point.miss_rate),
  ]);
  return [table("Operating points", ["", "false alarms an hour (95 %)", "words missed"], rows)];
}

function figures(one) {
  if (!one.accuracy?.length) return [];
  const rows = one.accuracy.map((figure) => [
    figure.name,
    `${brief(figure.value)} (${brief(figure.low)} to ${brief(figure.high)})`,
    figure.count.toLocaleString(),
    figure.corpus,
  ]);
  return [table("Measured", ["", "value (95 %)", "count", "on"], rows)];
}

function data(one) {
  if (!one.data?.length) return [];
  const items = one.data.map((each) => made("li", `${each.name}: ${each.by}, ${each.licence}`));
  return [made("details", "", made("summary", "Trained on"), made("ul", "", ...items))];
}

const brief = (value) => String(Number(value.toPrecision(4)));

const percent = (share) => `${(100 * share).toFixed(1)} %`;

const rate = (found) =>
  found
    ? `${found.per_hour.toFixed(2)} (${found.low.toFixed(2)} to ${found.high.toFixed(2)}), `
      + `${found.events} in ${found.hours.toFixed(1)} h`
    : "–";

function table(caption, heads, rows) {
  const head = made("tr", "", ...heads.map((text) => {
    const cell = made(text ? "th" : "td", text);
    if (text) cell.scope = "col";
    return cell;
  }));
  const body = rows.map(([first, ...rest]) => {
    const name = made("th", first);
    name.scope = "row";
    return made("tr", "", name, ...rest.map((text) => made("td", text)));
  });
  const found = made("table", "", made("caption", caption), made("thead", "", head),
    made("tbody", "", ...body));
  const box = made("div", "", found);
  box.className = "wide";
  box.tabIndex = 0;
  box.setAttribute("role", "region");
  box.setAttribute("aria-label", caption);
  return box;
}

/** Show what programs can ask, once somebody wants to know. */
document.getElementById("programs").addEventListener("toggle", async () => {
  const { paths } = await json("openapi.json");
  const found = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).flatMap(([method, route]) => [
      made("dt", `${method.toUpperCase()} ${path}`),
      made("dd", route.summary),
    ]),
  );
  document.getElementById("routes").replaceChildren(...found);
}, { once: true });
