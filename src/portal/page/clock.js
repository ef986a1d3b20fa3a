// The clocks, and the bars that grow with them. They stop while the connection is lost, since
// it is unknown whether anything is running.

const NICE = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400, 172800, 604800];
let axis = "";
function tick() {
  if (!shown || view === "board") return;
  const { workflow, finished } = shown;
  const agents = Object.entries(workflow.agents);
  const times = (key) => agents.map(([, agent]) => parse(agent[key])).filter((time) => !isNaN(time));
  const start = Math.min(...times("startedAt"), parse(workflow.createdAt) || Infinity);
  const updated = parse(workflow.lastUpdated);
  // Whether an older writer's word is an end is not known.
  const standing = finished || workflow.stalled || !Object.hasOwn(WORDS, workflow.overallStatus);
  // Late token counts are written after the end, which is when it took place all the same.
  const completed = finished ? parse(workflow.completedAt) : NaN, ended = completed >= start ? completed : NaN;
  const isCalled = agents.some(([, agent]) => agent.status === "in-progress");
  const last = Math.max(ended && !isCalled ? ended : updated || 0, ...times("completedAt"));
  const current = standing ? last : isLive() ? now() : lastSeen;
  const known = isFinite(start);
  const span = known ? Math.max(1000, current - start) : 1000;
  big("elapsed", known ? duration((ended || current) - start) : "–");
  big("changed", updated ? ago(updated) : "–");
  for (const [name, agent] of agents) {
    const part = steps.get(name).parts, bar = part.lane.firstChild;
    const from = parse(agent.startedAt), to = parse(agent.completedAt);
    const running = agent.status === "in-progress";
    const end = running ? current : to;
    const placed = !isNaN(from) && !isNaN(end);
    bar.hidden = !placed;
    if (placed) {
      style(bar, "left", (100 * Math.max(0, from - start) / span).toFixed(2) + "%");
      style(bar, "width", (100 * Math.max(0, end - from) / span).toFixed(2) + "%");
    }
    placeMarks(part, agent, start, span);
    text(part.took, placed ? duration(end - from) : agent.duration === null ? "" : duration(1000 * agent.duration, false));
  }
  const step = NICE.find((seconds) => span / 1000 / seconds <= 6) ?? 604800;
  const marks = [];
  for (let mark = 0; mark * 1000 <= span * 0.96; mark += step) marks.push(mark);
  const key = marks.length + ":" + step;
  if (key !== axis) {
    axis = key;
    $("ticks").replaceChildren(...marks.map((mark) => el("span", {}, mark === 0 ? "0" : mark < 60 ? mark + " s" : mark < 3600 ? mark / 60 + " min" : mark / 3600 + " h")));
  }
  style($("steps"), "--step", (100000 * step / span).toFixed(3) + "%");
  marks.forEach((mark, place) => style($("ticks").children[place], "left", (100000 * mark / span).toFixed(2) + "%"));
}
setInterval(() => { if (!document.hidden && shown && !shown.finished) tick(); }, 100);
setInterval(() => { if (!document.hidden) tickBoard(); }, 250);
setInterval(() => { if (!document.hidden) { renderAges(); renderProblemAges(); if (shown) tick(); } }, 5000);
