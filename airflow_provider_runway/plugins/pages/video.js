// The video of one task instance: the player or why there is none, how it came about, and what is known of it.

import {
  address,
  ask,
  badge,
  bytes,
  follow,
  icon,
  keepAsking,
  kindName,
  leadTo,
  make,
  number,
  parameters,
  picture,
  secondsSince,
  span,
  stateClass,
  stateName,
  staySideBySide,
  taskName,
  tick,
  time,
} from "./common.js";

const query = parameters();
const instance = {
  run_id: query.run_id ?? "",
  task_id: query.task_id ?? "",
  // Airflow leaves the placeholder as it is where a task is not mapped.
  map_index: /^-?\d+$/.test(query.map_index ?? "") ? query.map_index : "-1",
};
const ENDED = new Set(["success", "failed", "skipped", "upstream_failed", "removed"]);

const main = document.querySelector("main");
const content = document.getElementById("content");
const stage = document.getElementById("stage");
const family = document.getElementById("family");
const prompt = document.getElementById("prompt");
const facts = document.getElementById("facts");
const shown = {};

/** Draw a part of the page, unless it stands there already: a video goes on playing. */
function draw(name, data, drawing) {
  const key = JSON.stringify(data);
  if (shown[name] !== key) {
    shown[name] = key;
    drawing();
  }
}

function ratioOf(text) {
  const sides = /^(\d+):(\d+)$/.exec(text ?? "");
  return sides && Number(sides[1]) && Number(sides[2]) ? Number(sides[1]) / Number(sides[2]) : 16 / 9;
}

function panel(state, title, ...paragraphs) {
  return make(
    "div",
    { class: `screen panel ${stateClass(state)}` },
    make("div", { class: "panel-head" }, icon(state === "gone" ? "gone" : stateClass(state)), make("h2", {}, title)),
    ...paragraphs.filter(Boolean),
  );
}

function paragraph(text, attributes = {}) {
  return text ? make("p", attributes, text) : null;
}

function player(data, { source, url }) {
  const { video } = data;
  const element = make("video", {
    class: "screen",
    controls: true,
    playsinline: true,
    preload: "metadata",
    poster: source === "vendor" ? video.vendor_poster : video.poster,
    src: url,
    "aria-label": data.prompt ? `Video: ${data.prompt.slice(0, 200)}` : "Video",
  });
  element.style.setProperty("--ratio", ratioOf(data.aspect_ratio));
  element.addEventListener("loadedmetadata", () => {
    if (element.videoWidth && element.videoHeight) {
      element.style.setProperty("--ratio", element.videoWidth / element.videoHeight);
    }
  });
  element.addEventListener("error", () => stage.replaceChildren(...instead(data, source)));
  return element;
}

/** What stands where a player cannot play. */
function instead(data, source) {
  const { video } = data;
  if (source === "stored" && video.vendor_url) {
    return [player(data, { source: "vendor", url: video.vendor_url }), origin(data)];
  }
  return source === "stored"
    ? [panel("gone", "The copy cannot be played", paragraph("The file is gone, or Airflow's API server cannot read it."), storedAt(data))]
    : [panel("gone", "The video cannot be played", paragraph("kie.ai does not hand it out any more, or cannot be reached from here."))];
}

function storedAt(data) {
  return data.path ? make("p", {}, copy(data.path)) : null;
}

function origin(data) {
  const { expires_at } = data.video;
  return make(
    "p",
    { class: "note" },
    "Played from kie.ai",
    ...(expires_at ? [", which deletes it on ", time(expires_at)] : []),
    data.path ? ". The stored copy cannot be read here." : ". No copy is stored.",
  );
}

function missingVideo(data) {
  if (data.path) {
    return panel(
      "made",
      "Made and stored",
      paragraph(data.what_to_do ?? "The copy cannot be shown here: it is not below a folder of [runway] video_roots."),
      storedAt(data),
    );
  }
  if (data.video?.expired) {
    return panel("gone", "Expired", paragraph("kie.ai has deleted this video, and no copy of it was stored."), paragraph(data.what_to_do));
  }
  return panel("made", "Made", paragraph(data.what_to_do ?? "Where the video is, this task does not say."));
}

function wait(data) {
  if (!data.submitted_at) {
    const state = data.airflow_state ? `The task is ${data.airflow_state.replaceAll("_", " ")}.` : "The task has not started.";
    return panel("waiting", "Not submitted yet", paragraph(state));
  }
  const clock = make("span", { class: "clock" });
  const title = make("span", {}, "Waiting for ", clock);
  const usual = data.usual;
  const meter = usual && make("div", { class: "meter" });
  const fill = make("div", { class: "fill" });
  const words = paragraph(usual ? " " : null);
  if (meter) {
    meter.append(fill, make("i", { class: "mark middle" }), make("i", { class: "mark late" }));
  }
  tick(clock, () => {
    const seconds = secondsSince(data.submitted_at);
    clock.textContent = span(seconds);
    if (!usual) {
      return;
    }
    const end = Math.max(usual.p95 * 1.3, seconds * 1.05);
    fill.style.width = `${(Math.max(0, seconds) / end) * 100}%`;
    meter.style.setProperty("--middle", `${(usual.p50 / end) * 100}%`);
    meter.style.setProperty("--late", `${(usual.p95 / end) * 100}%`);
    const usually = `Half of such videos are ready after ${span(usual.p50)}, nearly all after ${span(usual.p95)}.`;
    words.textContent = seconds > usual.p95 ? `${usually} This one takes longer.` : usually;
  });
  // As large as the video will be, which then takes its place.
  const waiting = panel("waiting", title, meter, words);
  waiting.style.setProperty("--ratio", ratioOf(data.aspect_ratio));
  return waiting;
}

function failure(data) {
  const unknown = data.state === "unknown";
  return panel(
    data.state,
    unknown ? "Nobody knows whether kie.ai took this" : "Failed",
    paragraph(data.error?.text ?? "What went wrong is in the task's log."),
    data.what_to_do
      ? make("div", { class: "todo" }, make("h3", { class: "label" }, "What to do"), make("p", {}, data.what_to_do))
      : null,
  );
}

function drawStage(data) {
  if (data.state === "made" && data.video?.url) {
    const { source, url } = data.video;
    stage.replaceChildren(player(data, { source, url }), ...(source === "vendor" ? [origin(data)] : []));
  } else if (data.state === "made") {
    stage.replaceChildren(missingVideo(data));
  } else if (data.state === "waiting") {
    stage.replaceChildren(wait(data));
  } else if (data.state === "failed" || data.state === "unknown") {
    stage.replaceChildren(failure(data));
  } else {
    const task = `The task is ${(data.airflow_state ?? "not started").replaceAll("_", " ")}.`;
    const title = data.runway_task_id ? "Submitted" : "No video";
    stage.replaceChildren(panel("none", title, paragraph(data.what_to_do ?? task)));
  }
}

function step(member) {
  const thumb = make("span", { class: "thumb" }, icon(stateClass(member.state)));
  if (member.poster) {
    thumb.append(picture([member.poster, member.vendor_poster]));
  }
  const link = make(
    "a",
    { class: `step ${stateClass(member.state)}`, "aria-current": member.current ? "step" : null },
    thumb,
    make(
      "span",
      { class: "step-words" },
      make("span", { class: "step-kind" }, kindName(member.kind) ?? "Video"),
      make("span", { class: "step-task" }, taskName(member)),
      make("span", { class: "unseen" }, stateName(member.state)),
    ),
  );
  leadTo(link, member.href);
  link.addEventListener("click", follow);
  return make("li", {}, link);
}

function drawFamily(members) {
  family.hidden = members.length < 2;
  const steps = members.flatMap((member, index) =>
    index ? [make("li", { class: "arrow", "aria-hidden": "true" }, icon("next")), step(member)] : [step(member)],
  );
  family.replaceChildren(make("ol", { role: "list" }, ...steps));
  const current = family.querySelector("[aria-current]");
  if (current) {
    family.scrollLeft = current.offsetLeft - (family.clientWidth - current.offsetWidth) / 2;
  }
}

function copy(text) {
  return make("code", { class: "copy" }, text);
}

function models(data) {
  return { runway: "Runway", aleph: "Runway Aleph" }[data.model] ?? data.model;
}

function rows(data) {
  const made = data.submitted_at && data.ended_at ? (Date.parse(data.ended_at) - Date.parse(data.submitted_at)) / 1000 : null;
  const { video } = data;
  return [
    ["State", badge(data.state)],
    ["Took", made !== null && made >= 0 && data.state === "made" ? span(made) : null],
    ["Kind", kindName(data.kind)],
    ["Model", models(data)],
    ["Length", data.duration ? `${number(data.duration)} s` : null],
    ["Quality", data.quality],
    ["Format", data.aspect_ratio],
    ["Credits", data.credits === null || data.credits === undefined ? null : number(data.credits)],
    ["Submitted", data.submitted_at ? time(data.submitted_at) : null],
    ["Ended", data.ended_at ? time(data.ended_at) : null],
    ["Runway task", data.runway_task_id ? copy(data.runway_task_id) : null],
    ["Stored at", data.path ? copy(data.path) : null],
    ["Size", data.size === null || data.size === undefined ? null : bytes(data.size)],
    ["SHA-256", data.sha256 ? copy(data.sha256) : null],
    ["At kie.ai", video?.expired ? "deleted" : video?.expires_at ? make("span", {}, "until ", time(video.expires_at)) : null],
    ["Error", data.error?.kind ? copy(data.error.kind) : null],
  ].filter(([, value]) => value !== null && value !== undefined);
}

function drawFacts(data) {
  const entries = rows(data).map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value)));
  facts.replaceChildren(make("dl", {}, ...entries));
}

function drawForeign(data) {
  const text = ENDED.has(data.airflow_state) ? "This task made no Runway video." : "There is no Runway video here yet.";
  main.setAttribute("aria-busy", "false");
  content.hidden = true;
  let quiet = document.getElementById("quiet");
  if (!quiet) {
    quiet = make("p", { id: "quiet", class: "quiet" });
    content.after(quiet);
  }
  quiet.textContent = text;
}

async function look() {
  const data = await ask(address("data/video", instance), { missing: "Airflow knows no such task instance." });
  const settled = ENDED.has(data.airflow_state);
  if (!data.found) {
    drawForeign(data);
    return settled ? null : 15;
  }
  document.getElementById("quiet")?.remove();
  main.setAttribute("aria-busy", "false");
  content.hidden = false;
  const { video, error, family: members = [] } = data;
  draw("stage", [data.state, video?.url, video?.source, video?.expired, data.path, error, data.what_to_do,
    data.submitted_at, data.usual, data.state === "made" ? null : data.airflow_state], () => drawStage(data));
  draw("family", members, () => drawFamily(members));
  draw("prompt", data.prompt, () => {
    prompt.hidden = !data.prompt;
    prompt.querySelector(".words").textContent = data.prompt ?? "";
  });
  draw("facts", [rows(data).map(([name, value]) => [name, value.textContent ?? value])], () => drawFacts(data));
  const waiting = data.state === "waiting" || members.some((member) => member.state === "waiting");
  return waiting || !settled ? 4 : null;
}

staySideBySide(instance);
keepAsking(look, document.getElementById("news"), () => {
  if (main.getAttribute("aria-busy") === "true") {
    main.setAttribute("aria-busy", "false");
    content.hidden = true;
  }
});

// Times stand in the zone that is chosen in Airflow, which may be chosen anew.
addEventListener("storage", (event) => {
  if (event.key === "timezone") {
    location.reload();
  }
});
