// What the page of a video and the gallery share: elements, words for times and states, and asking the server.

/** Make an element. Texts become text nodes, never HTML, whatever they hold. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) {
      element.setAttribute(name, "");
    } else if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(name, String(value));
    }
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/**
 * Make a picture of the first of some addresses that has one.
 *
 * Whether a stored copy has a picture beside it is known only once it is asked for. Where none has one, the
 * picture goes, and `none` is called.
 */
export function picture(addresses, none) {
  const left = [...new Set(addresses.filter(Boolean))];
  const image = make("img", { src: left.shift(), alt: "", loading: "lazy", decoding: "async" });
  image.addEventListener("error", () => {
    if (left.length) {
      image.src = left.shift();
    } else {
      const isShown = image.isConnected;
      image.remove();
      if (isShown) {
        none?.();
      }
    }
  });
  return image;
}

const SHAPES = {
  made: ["M5 12.5l4.5 4.5L19 7.5"],
  failed: ["M6.5 6.5l11 11", "M17.5 6.5l-11 11"],
  waiting: ["M12 6.5v6l3.8 2.3", "M12 3a9 9 0 1 0 0 18a9 9 0 1 0 0-18"],
  unknown: ["M12 4L2.8 20h18.4z", "M12 10v4.5", "M12 17.2v.1"],
  none: ["M6 12h12"],
  gone: ["M4 5h16v14H4z", "M4 19L20 5"],
  next: ["M9 5.5l6.5 6.5L9 18.5"],
  play: ["M8 5.2v13.6L19 12z"],
};

/** Draw a small picture, for the eye alone: words stand beside it. */
export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", `icon icon-${name}`);
  for (const shape of SHAPES[name] ?? SHAPES.none) {
    const path = document.createElementNS(space, "path");
    path.setAttribute("d", shape);
    svg.append(path);
  }
  return svg;
}

const STATES = { made: "Made", waiting: "Waiting", failed: "Failed", unknown: "Unknown", none: "No video" };

export function stateName(state) {
  return STATES[state] ?? STATES.none;
}

/** The class for a state's colour; a state that this page does not know looks like none. */
export function stateClass(state) {
  return state in STATES ? state : "none";
}

export function badge(state, text = stateName(state)) {
  return make("span", { class: `badge ${stateClass(state)}` }, icon(stateClass(state)), text);
}

export function plural(count, one, many) {
  return `${number(count)} ${count === 1 ? one : many}`;
}

export function number(value) {
  return value.toLocaleString("en", { maximumFractionDigits: 2 });
}

export function bytes(size) {
  const units = ["bytes", "KB", "MB", "GB", "TB"];
  let unit = 0;
  while (size >= 1000 && unit < units.length - 1) {
    size /= 1000;
    unit += 1;
  }
  return `${size.toLocaleString("en", { maximumFractionDigits: unit && size < 100 ? 1 : 0 })} ${units[unit]}`;
}

export function span(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) {
    return `${whole} s`;
  }
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) {
    return whole % 60 ? `${minutes} min ${whole % 60} s` : `${minutes} min`;
  }
  const hours = Math.floor(minutes / 60);
  if (hours < 48) {
    return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  }
  return `${Math.floor(hours / 24)} days`;
}

// Airflow's UI keeps the time zone that a person chose there.
function zone() {
  try {
    return JSON.parse(localStorage.getItem("timezone")) || undefined;
  } catch {
    return undefined;
  }
}

function moment(iso, timeZone) {
  return new Intl.DateTimeFormat("sv-SE", {
    timeZone,
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
  }).format(new Date(iso));
}

/** A time as Airflow writes it, in the time zone that is chosen there. */
export function time(iso) {
  if (Number.isNaN(Date.parse(iso))) {
    return String(iso);
  }
  let text;
  try {
    text = moment(iso, zone());
  } catch {
    text = moment(iso, undefined);
  }
  return make("time", { datetime: iso }, text);
}

// A laptop's clock may be wrong: what has passed is counted by the server's.
let ahead = 0;

export function secondsSince(iso) {
  return (Date.now() + ahead - Date.parse(iso)) / 1000;
}

const clocks = new Set();

/** Call a function now and each second for as long as the element is on the page. */
export function tick(element, show) {
  show();
  clocks.add({ element, show });
}

setInterval(() => {
  if (document.hidden) {
    return;
  }
  for (const clock of clocks) {
    if (clock.element.isConnected) {
      clock.show();
    } else {
      clocks.delete(clock);
    }
  }
}, 1000);

/** The query of this page. A `+` of a run ID may have come as it is, so it is no space. */
export function parameters() {
  const found = {};
  for (const part of location.search.slice(1).split("&")) {
    const [name, ...rest] = part.split("=");
    const value = rest.join("=");
    try {
      found[name] = decodeURIComponent(value);
    } catch {
      found[name] = value;
    }
  }
  return found;
}

export function address(path, query) {
  const pairs = Object.entries(query).map(([name, value]) => `${name}=${encodeURIComponent(value)}`);
  return `${path}?${pairs.join("&")}`;
}

/** Why there is no answer, in a sentence for the person who looks. */
export class Refusal extends Error {
  constructor(sentence, { again }) {
    super(sentence);
    this.again = again;
  }
}

function refusal(status, detail, missing) {
  // Airflow calls a login that ran out an invalid token, with 403.
  if (status === 401 || (status === 403 && /token/i.test(detail))) {
    return new Refusal("You are not logged in any more. Reload Airflow's page to log in.", { again: false });
  }
  if (status === 403) {
    return new Refusal("You are not allowed to see the task instances and XComs of this Dag.", { again: false });
  }
  if (status === 404) {
    return new Refusal(missing, { again: false });
  }
  return new Refusal(`Airflow could not answer (HTTP ${status}). It is asked again.`, { again: true });
}

/**
 * Ask the server for JSON.
 *
 * Throws a Refusal; `missing` is its sentence where there is no such thing.
 */
export async function ask(url, { missing }) {
  let response;
  try {
    response = await fetch(url, {
      credentials: "same-origin",
      cache: "no-store",
      headers: { Accept: "application/json" },
      // A proxy in front of Airflow may send those who are logged out to a page of its own.
      redirect: "manual",
      signal: AbortSignal.timeout(30000),
    });
  } catch {
    throw new Refusal("Airflow cannot be reached. It is asked again.", { again: true });
  }
  if (response.type === "opaqueredirect") {
    throw refusal(401, "", missing);
  }
  let answer = null;
  try {
    answer = await response.json();
  } catch {
    // Said below, by the status.
  }
  if (!response.ok || answer === null || typeof answer !== "object") {
    throw refusal(response.status, String(answer?.detail ?? ""), missing);
  }
  const date = Date.parse(response.headers.get("Date") ?? "");
  if (!Number.isNaN(date)) {
    const difference = date - Date.now();
    ahead = Math.abs(difference) > 3000 ? difference : 0;
  }
  return answer;
}

/**
 * Ask again and again, never while nobody looks.
 *
 * `look` returns the seconds until the next time, or null where that is not needed. What it throws is shown
 * in `news`, and asked again where that can help; where it cannot, `refused` is called.
 */
export function keepAsking(look, news, refused) {
  let timer = null;
  let asking = false;
  let failures = 0;
  let due = true;

  async function now() {
    if (asking) {
      return;
    }
    clearTimeout(timer);
    timer = null;
    if (document.hidden) {
      due = true;
      return;
    }
    asking = true;
    due = false;
    let pause = null;
    try {
      pause = await look();
      failures = 0;
      say(news, "");
    } catch (error) {
      if (!(error instanceof Refusal)) {
        say(news, "This page could not be shown.", now);
        throw error;
      }
      failures += 1;
      pause = error.again ? Math.min(60, 3 * 2 ** failures) : null;
      if (!error.again) {
        refused();
      }
      say(news, error.message, now);
    } finally {
      asking = false;
      if (pause !== null) {
        timer = setTimeout(now, pause * 1000);
      }
    }
  }

  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && due) {
      now();
    }
  });
  now();
  return now;
}

function say(news, sentence, retry) {
  if (news.dataset.sentence === sentence) {
    return;
  }
  news.dataset.sentence = sentence;
  news.replaceChildren();
  if (sentence) {
    const button = make("button", { type: "button", class: "button" }, "Try again");
    button.addEventListener("click", retry);
    news.append(make("span", {}, sentence), button);
  }
}

// This page is <base>/runway/dags/<Dag>/<page>.
const BASE = new URL("../../../", location.href);

/**
 * Let a link lead to a page of Airflow, inside Airflow without loading it anew.
 *
 * `path` is relative to Airflow's base URL.
 */
export function leadTo(link, path) {
  const target = typeof path === "string" ? new URL(path.replace(/^\/+/, ""), BASE) : null;
  if (!target || target.origin !== BASE.origin || !target.pathname.startsWith(BASE.pathname)) {
    link.removeAttribute("href");
    return;
  }
  link.href = target.href;
}

/** Go where a link leads. A frame may not send the window elsewhere, but tell its router that it went there. */
export function follow(event) {
  const link = event.currentTarget;
  if (!link.href) {
    event.preventDefault();
    return;
  }
  if (window.parent === window || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) {
    return;
  }
  event.preventDefault();
  const { history, PopStateEvent } = window.parent;
  const state = { usr: null, key: Math.random().toString(36).slice(2, 10), idx: (history.state?.idx ?? 0) + 1 };
  const { pathname, search } = new URL(link.href);
  history.pushState(state, "", pathname + search);
  window.parent.dispatchEvent(new PopStateEvent("popstate", { state }));
}

const KINDS = { generate: "Generation", extend: "Extension", aleph: "Restyling" };

/** What was done, by the kind of request, such as `generate-5s-720p`. */
export function kindName(kind) {
  return KINDS[String(kind ?? "").split("-")[0]] ?? (kind ? String(kind) : null);
}

export function taskName(entry) {
  if (entry.map_index === null || entry.map_index === undefined || entry.map_index < 0) {
    return entry.task_id;
  }
  return `${entry.task_id} [${entry.label ?? entry.map_index}]`;
}

/**
 * Go back once more where the window's history led this frame alone back.
 *
 * Airflow keeps a frame when it goes from one task or run to the next, so the frame has steps of its own in the
 * history, at which Airflow's page and this one would show different things. `own` is what this page shows.
 */
export function staySideBySide(own) {
  addEventListener("pageshow", (event) => {
    const [entry] = performance.getEntriesByType("navigation");
    if (window.parent === window || !(event.persisted || entry?.type === "back_forward")) {
      return;
    }
    const found = /\/runs\/([^/]+)(?:\/tasks\/([^/]+)(?:\/mapped\/(\d+))?)?/.exec(window.parent.location.pathname);
    if (!found) {
      return;
    }
    const [run, task, index] = found.slice(1).map((part) => (part === undefined ? part : decodeURIComponent(part)));
    const same = own.run_id === run && own.task_id === task && (own.map_index ?? "-1") === (index ?? "-1");
    if (!same) {
      window.parent.history.back();
    }
  });
}
