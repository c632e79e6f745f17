// All videos of a run: pages of 24, loaded as one scrolls and asked again only while something runs.

import {
  address,
  ask,
  badge,
  follow,
  icon,
  keepAsking,
  leadTo,
  make,
  number,
  parameters,
  picture,
  plural,
  secondsSince,
  span,
  stateClass,
  stateName,
  staySideBySide,
  taskName,
  tick,
} from "./common.js";

const PAGE = 24;
const PAUSE = 5;
const MISSING = "Airflow knows no such run.";
const run_id = parameters().run_id ?? "";

const main = document.querySelector("main");
const grid = document.getElementById("grid");
const end = document.getElementById("end");
const calm = matchMedia("(prefers-reduced-motion: reduce)");

const pages = [];
const cards = new Map();
const inView = new Set();
let total = null;
let live = false;
let nearEnd = false;
let loading = false;

// Previews

let playing = null;

function stopPreview() {
  const card = playing;
  playing = null;
  card?.media.querySelector("video.preview")?.remove();
  card?.link.classList.remove("playing");
}

function release(video) {
  // Without this, Chromium keeps the connection to the server, of which it has six.
  video.pause();
  video.removeAttribute("src");
  video.load();
}

/** Where a card's video can be played from: the stored copy or, where that has failed, kie.ai. */
function sourceOf(card) {
  const { video } = card.data;
  return [video?.url, video?.vendor_url].find((url) => url && !card.failed.has(url));
}

function startPreview(card) {
  const url = sourceOf(card);
  if (!url || playing === card) {
    return;
  }
  stopPreview();
  playing = card;
  const video = make("video", { class: "preview", preload: "none", playsinline: true, tabindex: -1, "aria-hidden": "true", src: url });
  video.muted = true;
  video.loop = true;
  const remove = video.remove.bind(video);
  video.remove = () => {
    release(video);
    remove();
  };
  video.addEventListener("playing", () => card.link.classList.add("playing"));
  video.addEventListener("error", () => {
    if (playing === card) {
      stopPreview();
      card.failed.add(url);
      if (sourceOf(card)) {
        startPreview(card);
      } else {
        card.link.classList.add("unplayable");
      }
    }
  });
  card.media.append(video);
  video.play().catch(() => {});
}

function listen(card) {
  const { link } = card;
  let intent = null;
  const soon = () => {
    clearTimeout(intent);
    if (!calm.matches) {
      intent = setTimeout(() => startPreview(card), 120);
    }
  };
  const leave = () => {
    clearTimeout(intent);
    if (playing === card) {
      stopPreview();
    }
  };
  link.addEventListener("pointerenter", (event) => event.pointerType === "mouse" && soon());
  link.addEventListener("pointerleave", () => document.activeElement !== link && leave());
  link.addEventListener("focus", () => link.matches(":focus-visible") && soon());
  link.addEventListener("blur", leave);
  link.addEventListener("click", follow);
  link.addEventListener("keydown", (event) => {
    if (event.key === " ") {
      event.preventDefault();
      if (playing === card) {
        leave();
      } else {
        startPreview(card);
      }
    }
  });
}

// Cards

// A stored copy may have no picture beside it: then its first frame stands for it, while it can be seen.
const stills = new IntersectionObserver(
  (changes) => {
    for (const { target, isIntersecting } of changes) {
      const old = target.querySelector("video.still");
      if (isIntersecting && !old) {
        addStill(cards.get(target.closest("[data-key]")?.dataset.key));
      } else if (!isIntersecting && old) {
        release(old);
        old.remove();
      }
    }
  },
  { rootMargin: "150px" },
);

const seen = new IntersectionObserver((changes) => {
  for (const { target, isIntersecting } of changes) {
    if (isIntersecting) {
      inView.add(target.dataset.key);
    } else {
      inView.delete(target.dataset.key);
    }
  }
});

function addStill(card) {
  const url = card && sourceOf(card);
  if (!url) {
    return;
  }
  const still = make("video", { class: "still", preload: "metadata", playsinline: true, tabindex: -1, "aria-hidden": "true", src: `${url}#t=0.1` });
  still.muted = true;
  still.addEventListener("error", () => {
    if (!still.isConnected) {
      return;
    }
    still.remove();
    card.failed.add(url);
    if (sourceOf(card)) {
      addStill(card);
    } else {
      stills.unobserve(card.media);
      card.media.replaceChildren(absence(card.data.video));
    }
  });
  card.media.prepend(still);
}

// A card has room for the words alone; the video's own tab has all of it.
function reason(error) {
  return error?.text?.replace(/^The generation failed: /, "").replace(/ More: https:\S+$/, "");
}

function message(state, title, text) {
  return make(
    "span",
    { class: `message ${stateClass(state)}` },
    make("span", { class: "message-title" }, icon(state), title),
    text ? make("span", { class: "message-text" }, text) : null,
  );
}

function absence(video) {
  return video?.expired ? message("gone", "Expired", "kie.ai has deleted it, and no copy can be read here.") : message("made", "Made", "The video cannot be shown here.");
}

function drawMedia(card) {
  const { state, video, error, submitted_at } = card.data;
  const { media } = card;
  if (playing === card) {
    stopPreview();
  }
  stills.unobserve(media);
  media.querySelectorAll("video").forEach(release);
  media.replaceChildren();
  card.link.classList.remove("unplayable");
  card.failed.clear();
  if (state === "made" && video?.url) {
    if (video.poster) {
      media.append(picture([video.poster, video.vendor_poster], () => stills.observe(media)));
    } else {
      stills.observe(media);
    }
    media.append(make("span", { class: "play" }, icon("play")));
  } else if (state === "made") {
    media.append(absence(video));
  } else if (state === "waiting") {
    const clock = make("span", {});
    media.append(message("waiting", submitted_at ? clock : "Not submitted yet"));
    if (submitted_at) {
      tick(clock, () => {
        clock.textContent = `Waiting for ${span(secondsSince(submitted_at))}`;
      });
    }
  } else if (state === "failed") {
    media.append(message("failed", "Failed", reason(error) ?? "The reason is in the task's log."));
  } else if (state === "unknown") {
    media.append(message("unknown", "Unknown", reason(error)));
  } else {
    media.append(message("none", "No video"));
  }
}

/** Which task it is; a mapped one that is named after its prompt needs no second mention of that. */
function nameOf(data) {
  return taskName(data.label && data.label === data.prompt ? { ...data, label: null } : data);
}

function drawWords(card) {
  const { data } = card;
  card.words.replaceChildren(
    make("span", { class: data.prompt ? "card-prompt" : "card-prompt none", title: data.prompt }, data.prompt || "No prompt"),
    make(
      "span",
      { class: "card-foot" },
      make("span", { class: `dot ${stateClass(data.state)}` }, icon(stateClass(data.state))),
      make("span", { class: "unseen" }, stateName(data.state)),
      make("span", { class: "card-task", title: nameOf(data) }, nameOf(data)),
    ),
  );
}

function newCard(key) {
  const media = make("span", { class: "media" });
  const words = make("span", { class: "card-words" });
  const link = make("a", { class: "card" }, media, words);
  const item = make("li", { "data-key": key }, link);
  const card = { item, link, media, words, data: {}, drawn: {}, failed: new Set() };
  listen(card);
  seen.observe(item);
  return card;
}

function update(card, data) {
  card.data = data;
  const { video, error } = data;
  const look = JSON.stringify([data.state, video?.url, video?.poster, video?.expired, error?.text, data.submitted_at]);
  if (card.drawn.media !== look) {
    card.drawn.media = look;
    drawMedia(card);
  }
  const words = JSON.stringify([data.prompt, data.state, nameOf(data)]);
  if (card.drawn.words !== words) {
    card.drawn.words = words;
    drawWords(card);
  }
  if (card.drawn.href !== data.href) {
    card.drawn.href = data.href;
    leadTo(card.link, data.href);
  }
}

function discard(key, card) {
  if (playing === card) {
    stopPreview();
  }
  stills.unobserve(card.media);
  seen.unobserve(card.item);
  inView.delete(key);
  card.media.querySelectorAll("video").forEach(release);
  card.item.remove();
  cards.delete(key);
}

const keyOf = (entry) => `${entry.task_id} ${entry.map_index}`;

/** Bring the grid to what the pages say, with the elements that are there. */
function drawGrid() {
  const wanted = new Map(pages.flat().map((entry) => [keyOf(entry), entry]));
  for (const [key, card] of cards) {
    if (!wanted.has(key)) {
      discard(key, card);
    }
  }
  let place = grid.querySelector("li[data-key]");
  grid.querySelectorAll("li:not([data-key])").forEach((item) => item.remove());
  for (const [key, entry] of wanted) {
    const card = cards.get(key) ?? newCard(key);
    cards.set(key, card);
    update(card, entry);
    if (card.item === place) {
      place = place.nextElementSibling;
    } else {
      grid.insertBefore(card.item, place);
    }
  }
}

// The summary

const counts = document.getElementById("counts");
const ORDER = ["made", "waiting", "failed", "unknown"];
let summary = null;

function drawSummary(answer) {
  const present = ORDER.filter((state) => answer.counts[state] > 0);
  const credits = answer.credits === null || answer.credits === undefined ? "" : plural(answer.credits, "credit", "credits");
  const heading = total === 0 ? "Videos" : plural(total, "Video", "Videos");
  const sentence = [heading, ...present.map((state) => `${answer.counts[state]} ${state}`), credits].filter(Boolean).join(", ");
  if (sentence === summary) {
    return;
  }
  summary = sentence;
  document.getElementById("title").textContent = heading;
  counts.replaceChildren(...present.map((state) => badge(state, `${number(answer.counts[state])} ${stateName(state)}`)));
  document.getElementById("credits").textContent = credits;
  document.getElementById("said").textContent = `${sentence}.`;
}

function drawEmpty() {
  let quiet = document.getElementById("quiet");
  if (total > 0) {
    quiet?.remove();
    return;
  }
  if (!quiet) {
    quiet = make("p", { id: "quiet", class: "quiet" });
    grid.after(quiet);
  }
  quiet.textContent = live ? "There is no Runway video in this run yet." : "This run made no Runway videos.";
}

function drawPlaceholders(count) {
  for (let index = 0; index < count; index += 1) {
    grid.append(make("li", { "aria-hidden": "true", class: "placeholder" }, make("span", { class: "media pending" }), make("span", { class: "card-words" })));
  }
}

// Loading

async function load(page) {
  const answer = await ask(address("data/gallery", { run_id, offset: page * PAGE, limit: PAGE }), { missing: MISSING });
  pages[page] = answer.videos;
  total = answer.total;
  live = answer.live;
  pages.length = Math.min(pages.length, Math.max(1, Math.ceil(total / PAGE)));
  drawGrid();
  drawSummary(answer);
  drawEmpty();
  main.setAttribute("aria-busy", "false");
}

/** The page to load next: the last one again where it has more room than it had videos. */
function nextPage() {
  const loaded = pages.length ? (pages.length - 1) * PAGE + pages[pages.length - 1].length : 0;
  if (total === null || loaded >= total) {
    return null;
  }
  return Math.floor(loaded / PAGE);
}

async function loadMore() {
  if (loading) {
    return;
  }
  loading = true;
  try {
    for (let page = nextPage(); nearEnd && page !== null && !document.hidden; page = nextPage()) {
      const before = pages.flat().length;
      await load(page);
      if (pages.flat().length <= before) {
        break;
      }
      // The observer tells of a change alone; whether the end is still near, the layout says.
      nearEnd = end.getBoundingClientRect().top < innerHeight + 800;
    }
    if (!nearEnd) {
      // To the observer it is no change when somebody scrolls there again before it saw the end leave.
      watcher.unobserve(end);
      watcher.observe(end);
    }
  } finally {
    loading = false;
  }
}

function pagesInView() {
  const found = new Set();
  pages.forEach((videos, page) => {
    if (videos.some((entry) => inView.has(keyOf(entry)))) {
      found.add(page);
    }
  });
  return found.size ? found : new Set([0]);
}

async function look() {
  if (total === null) {
    await load(0);
  } else {
    for (const page of pagesInView()) {
      await load(page);
    }
    if (!live) {
      // What ended out of sight while the run ended.
      for (let page = 0; page < pages.length; page += 1) {
        if (pages[page].some((entry) => entry.state === "waiting")) {
          await load(page);
        }
      }
    }
  }
  await loadMore();
  return live ? PAUSE : null;
}

staySideBySide({ run_id });
drawPlaceholders(8);
const again = keepAsking(look, document.getElementById("news"), () => {
  main.setAttribute("aria-busy", "false");
  grid.querySelectorAll(".placeholder").forEach((item) => item.remove());
});

const watcher = new IntersectionObserver(
  (changes) => {
    nearEnd = changes.at(-1).isIntersecting;
    if (nearEnd && total !== null) {
      // A failure is said by the ordinary asking.
      loadMore().catch(again);
    }
  },
  { rootMargin: "800px" },
);
watcher.observe(end);
