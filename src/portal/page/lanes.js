// The lanes of the running workflows: their agents' bars, on one scale from the start of each

const lanes = new Map();
const SLOW = "is running longer than its 95th percentile";
let laneWidth = 0;
new ResizeObserver(() => { laneWidth = $("lanes-ticks").clientWidth; tickBoard(); }).observe($("lanes-ticks"));

function makeLane(sessionId) {
  const part = { dot: el("i", { class: "dot" }), now: el("span", { class: "now" }), slow: el("span", { class: "slow" }), track: el("div", { class: "track", "aria-hidden": "true" }),
    took: el("span", { class: "lane-time" }), used: el("span", { class: "lane-tokens" }), bars: new Map() };
  const item = el("li", {}, el("a", { class: "row-of-lane", href: hashOf(sessionId) },
    el("span", { class: "lane-name" }, part.dot, el("span", { class: "name", title: sessionId }, sessionId), part.slow, part.now), part.track, part.took, part.used));
  item.parts = part;
  return item;
}
function makeBar(name) {
  const label = el("span", {}, name), bar = el("i", {}, label);
  bar.label = label;
  return bar;
}
// Bars that overlap lie below each other.
function stack(bars) {
  const ends = [];
  for (const bar of [...bars].sort((a, b) => a.from - b.from)) {
    let row = ends.findIndex((end) => end <= bar.from);
    if (row < 0) row = ends.length;
    ends[row] = bar.to ?? Infinity;
    bar.row = row;
  }
  return Math.max(1, ends.length);
}
function renderLanes({ running, agents, counts }) {
  const all = running.filter(matches);
  keyed($("lanes"), lanes, all.map(({ sessionId }) => sessionId), makeLane);
  for (const workflow of all) {
    const lane = lanes.get(workflow.sessionId), part = lane.parts, state = workflow.waiting ? "waiting" : workflow.status;
    attribute(lane, "data-state", state);
    const active = Object.entries(workflow.agents).filter(([, agent]) => agent.status === "in-progress");
    const doing = active.map(([name, agent]) => name + (WAITING[agent.waitingFor] ? " · " + WAITING[agent.waitingFor] : agent.activity ? " · " + agent.activity : ""));
    text(part.now, doing.join(", ") || word(workflow.status));
    attribute(part.now, "title", part.now.textContent);
    text(part.used, workflow.totalTokens ? count(workflow.totalTokens) + " tok" : "");
    const bars = Object.entries(workflow.agents).map(([name, agent]) => ({ name, agent, from: parse(agent.startedAt), to: agent.status === "in-progress" ? null : parse(agent.completedAt) }));
    const placed = bars.filter(({ from, to }) => !isNaN(from) && (to === null || !isNaN(to)));
    const rows = stack(placed);
    keyed(part.track, part.bars, placed.map(({ name }) => name), makeBar);
    for (const { name, agent, row } of placed) {
      const bar = part.bars.get(name);
      attribute(bar, "data-state", agent.status === "in-progress" && agent.waitingFor ? "waiting" : agent.status);
      attribute(bar, "title", name + ": " + agentWord(agent));
      style(bar, "top", (100 * row / rows).toFixed(1) + "%");
      style(bar, "height", (100 / rows).toFixed(1) + "%");
      bar.rows = rows;
    }
    lane.placed = placed;
    lane.start = Math.min(parse(workflow.createdAt) || Infinity, ...placed.map(({ from }) => from));
    lane.limits = agents;
  }
  const total = counts.initializing + counts.processing + counts.waiting;
  text($("lanes-note"), total > running.length ? "The oldest " + running.length + " of " + count(total) : "");
  $("no-lanes").hidden = all.length > 0;
  text($("no-lanes"), running.length ? "None match the filter." : "No workflow is running.");
}

// Lets the bars grow. They stop while the connection is lost.
let laneAxis = "";
function tickBoard() {
  if (view !== "board" || !overview || lanes.size === 0) return;
  const current = isLive() ? now() : lastSeen;
  const times = [...lanes.values()].map(({ start }) => Math.max(1000, current - start)).filter(isFinite).sort((a, b) => a - b);
  // One that runs for hours must not make the others invisible.
  const longest = Math.min(times.at(-1) ?? 1000, 4 * (times[Math.floor(times.length / 2)] ?? 1000));
  const span = 1000 * (SPANS.find((seconds) => seconds * 1000 >= longest) ?? longest / 1000);
  for (const lane of lanes.values()) {
    const part = lane.parts, took = Math.max(0, current - lane.start);
    if (!isFinite(took)) continue;
    // The end of a lane that is longer is shown, not its start.
    const cut = Math.max(0, took - span), from0 = lane.start + cut;
    part.track.classList.toggle("cut", cut > 0);
    let late = "";
    for (const { name, agent, from, to } of lane.placed) {
      const bar = part.bars.get(name), end = to ?? current;
      const left = Math.max(0, from - from0), right = Math.max(0, end - from0);
      bar.hidden = right <= 0;
      style(bar, "left", (100 * left / span).toFixed(2) + "%");
      style(bar, "width", (100 * (right - left) / span).toFixed(2) + "%");
      bar.label.hidden = bar.rows > 1 || (right - left) / span * laneWidth < 6.6 * name.length + 14;
      const limit = lane.limits[name]?.p95Duration;
      const isLate = to === null && limit && end - from > 1000 * limit && !agent.waitingFor;
      bar.classList.toggle("late", Boolean(isLate));
      if (isLate) late = name + " " + SLOW + " (" + duration(1000 * limit) + ")";
    }
    part.slow.hidden = late === "";
    text(part.slow, late ? "slow" : "");
    attribute(part.slow, "title", late);
    text(part.took, duration(took, took < 60000));
  }
  const step = NICE.find((each) => span / 1000 / each <= 5) ?? 604800, marks = [];
  for (let mark = 0; mark * 1000 < span; mark += step) marks.push(mark);
  const key = span + ":" + step;
  if (key !== laneAxis) {
    laneAxis = key;
    $("lanes-ticks").replaceChildren(...marks.map((mark) => el("span", {}, mark === 0 ? "0" : mark < 60 ? mark + " s" : mark < 3600 ? +(mark / 60).toFixed(1) + " min" : +(mark / 3600).toFixed(1) + " h")));
    marks.forEach((mark, place) => style($("lanes-ticks").children[place], "left", (100000 * mark / span).toFixed(2) + "%"));
    style($("lanes"), "--step", (100000 * step / span).toFixed(3) + "%");
  }
}
const SPANS = [10, 20, 30, 60, 120, 180, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400, 172800, 604800];
