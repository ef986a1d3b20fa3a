// The selected workflow: its events and how they are rendered

let chosen = null, following = true, watching = null, shown = null, lastSeen = null;

function choose(sessionId) {
  // A finished workflow is not watched any more, and stays as it is until the list has news of it.
  if (sessionId === chosen && (watching || shown?.finished)) return;
  chosen = sessionId;
  shown = lastSeen = null;
  watching?.abort();
  watching = null;
  links.events = true;
  $("workflow").hidden = true;
  markChosen();
  if (sessionId === null) return setLink("idle");
  setLink("wait");
  watching = new AbortController();
  watch(sessionId, watching.signal);
}

async function watch(sessionId, signal) {
  for (let failures = 0; !signal.aborted; failures++) {
    try {
      const ended = await follow(sessionId, signal, () => { failures = 0; });
      if (signal.aborted) return;
      if (ended) { watching = null; return setLink("ended"); }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Refused && error.status < 500) {
        problem = "The portal cannot show this workflow (" + error.message + ").";
        return setLink("refused");
      }
    }
    links.events = false;
    showLink();
    await pause(Math.min(4000, 250 * 2 ** failures) * (0.75 + Math.random() / 2), signal);
  }
}

// Reads events until the stream ends. Returns whether the workflow has finished.
async function follow(sessionId, signal, onByte) {
  const connection = new AbortController();
  const stop = () => connection.abort();
  signal.addEventListener("abort", stop);
  let silence = setTimeout(stop, SILENCE);
  try {
    const response = await request(encodeURIComponent(sessionId) + "/events", { signal: connection.signal, cache: "no-store" });
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (signal.aborted) return false;
      if (done) return shown !== null && shown.finished && rest === "";
      clearTimeout(silence);
      silence = setTimeout(stop, SILENCE);
      onByte();
      const events = (rest + value).split("\n\n");
      rest = events.pop();
      for (const event of events) {
        links.events = true;
        if (event.startsWith(":")) {
          setLink(event.includes("stale") ? "stale" : shown ? "live" : "wait");
          continue;
        }
        const data = event.split("\n").filter((line) => line.startsWith("data: ")).map((line) => line.slice(6));
        // An error in rendering must not look like a lost connection.
        if (data.length > 0) try { show(JSON.parse(data.join("\n"))); } catch (error) { reportError(error); }
        setLink("live");
      }
    }
  } finally {
    clearTimeout(silence);
    signal.removeEventListener("abort", stop);
  }
}

function show(workflow) {
  const before = shown;
  shown = { workflow, finished: ["completed", "failed"].includes(workflow.overallStatus) };
  lastSeen = now();
  $("workflow").hidden = false;
  render();
  announce(before?.workflow, workflow);
  const entry = entries.get(workflow.sessionId);
  if (entry && workflow.createdAt) {
    const agents = Object.fromEntries(Object.entries(workflow.agents).map(([name, agent]) => [name, agent.status]));
    const { createdAt, lastUpdated, correlationId, stalled, waiting, totalCost, unpricedCalls } = workflow;
    updateEntry({ sessionId: workflow.sessionId, status: workflow.overallStatus, createdAt, lastUpdated, correlationId, stalled,
      totalTokens: workflow.totalTokenUsage.totalTokens, agents, waiting, totalCost, unpricedCalls });
  }
}

const WORDS = { pending: "not started", "in-progress": "in progress", success: "done", error: "failed",
  initializing: "starting", processing: "running", completed: "completed", failed: "failed", stalled: "stalled", waiting: "waiting" };
const WAITING = { task: "waiting for its task", input: "waiting for input", authorization: "waiting for authorization" };
const word = (state) => (Object.hasOwn(WORDS, state) ? WORDS[state] : state);
const stateOf = (workflow, finished) => (finished ? workflow.overallStatus : workflow.stalled ? "stalled" : workflow.waiting ? "waiting" : workflow.overallStatus);
// A new run of a session is created later than the previous run.
const isNewRun = (before, workflow) => parse(workflow.createdAt) > parse(before.createdAt);
const agentWord = (agent) => WAITING[agent.waitingFor] || word(agent.status);

function announce(before, workflow) {
  if (!before) return;
  const isNew = isNewRun(before, workflow), news = isNew ? ["a new run has begun"] : [];
  for (const [name, agent] of Object.entries(workflow.agents)) {
    const known = isNew ? null : before.agents[name];
    if (isNew && agent.status === "pending") continue;
    if (!known || agentWord(known) !== agentWord(agent)) news.push(name + " " + agentWord(agent));
  }
  if (workflow.budgetExceededAt && (isNew || !before.budgetExceededAt)) news.push("over its budget");
  const overall = stateOf(workflow, shown.finished);
  const isSaid = isNew ? ["initializing", "processing"] : ["processing"];
  if ((isNew || stateOf(before, false) !== overall) && !isSaid.includes(overall)) news.push("workflow " + word(overall));
  if (news.length > 0) text($("spoken"), news.join(", "));
}

function render() {
  const { workflow, finished } = shown;
  const overall = stateOf(workflow, finished);
  text($("session"), workflow.sessionId);
  attribute($("overall"), "data-state", overall);
  draw($("overall").firstChild, overall);
  text($("overall").lastChild, word(overall));
  renderFacts(workflow);
  renderPreviousRun(workflow.previousRun);
  renderAlarm(workflow, overall);
  renderBudget(workflow);
  renderTotalCost(workflow);
  renderSteps(workflow, overall);
  renderTokens(workflow);
  const agents = Object.values(workflow.agents);
  const done = agents.filter((agent) => agent.status === "success" || agent.status === "error").length;
  const running = Object.entries(workflow.agents).filter(([, agent]) => agent.status === "in-progress");
  big("done", done + " of " + agents.length);
  const failed = agents.filter((agent) => agent.status === "error").length;
  text($("now"), (running.length ? (overall === "stalled" ? "stalled: " : overall === "waiting" ? "waiting: " : "running: ") + running.map(([name]) => name).join(", ") : "") || (failed ? failed + " failed" : finished ? "none failed" : "none running"));
  const total = workflow.totalTokenUsage;
  big("total", count(total.totalTokens));
  text($("split"), count(total.inputTokens) + " in, " + count(total.outputTokens) + " out");
  const created = parse(workflow.createdAt);
  text($("since"), created ? "started " + at(created) : overall === "pending" ? "not started" : "");
  const updated = parse(workflow.lastUpdated);
  text($("changed-at"), updated ? at(updated) : "");
  document.title = { completed: "✓ ", failed: "✗ ", stalled: "‖ ", waiting: "… ", processing: done + "/" + agents.length + " " }[overall] ?? "";
  document.title += workflow.sessionId + " · Agent status";
  tick();
}

function renderFacts(workflow) {
  const facts = Object.entries(workflow.attributes);
  if (workflow.correlationId) facts.unshift(["correlationId", workflow.correlationId]);
  if (workflow.traceId) facts.push(["traceId", workflow.traceId]);
  const key = JSON.stringify(facts);
  if ($("facts").dataset.key === key) return;
  $("facts").dataset.key = key;
  $("facts").replaceChildren(...facts.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, shownAs(value)))));
}

function renderPreviousRun(run) {
  $("previous-run").hidden = !run;
  if (!run) return;
  const created = parse(run.createdAt), ended = parse(run.completedAt), tokens = run.totalTokenUsage?.totalTokens;
  const parts = [word(run.overallStatus) + (ended ? " at " + at(ended) : " when this one began")];
  if (ended && created) parts.push("after " + duration(ended - created));
  if (!ended && created) parts.push("started " + at(created));
  if (tokens) parts.push(count(tokens) + " tokens");
  if (run.totalCost) parts.push(run.totalCost.short);
  attribute($("previous-run"), "title", run.totalCost ? run.totalCost.exact + lacks(run.unpricedCalls) : "");
  text($("previous-run"), "Previous run: " + parts.join(", ") + (run.error ? ": " + run.error : ""));
}

function renderAlarm(workflow, overall) {
  const alarm = $("alarm");
  alarm.hidden = overall !== "stalled" && !workflow.error;
  attribute(alarm, "data-state", overall);
  const updated = parse(workflow.lastUpdated);
  const stalled = "No heartbeat" + (updated ? " since " + at(updated) : "") + ".";
  text(alarm.firstChild, overall === "stalled" ? stalled : overall === "failed" ? "The workflow failed" : "Error");
  text(alarm.lastChild, workflow.error || "Its process has stopped, or cannot reach the table.");
}

// Updates a parent's children by key: adds new nodes, removes old ones, and moves only those
// that are out of place.
function keyed(parent, nodes, keys, make) {
  for (const [key, node] of nodes) {
    if (!keys.includes(key)) { node.remove(); nodes.delete(key); }
  }
  keys.forEach((key, place) => {
    if (!nodes.has(key)) nodes.set(key, make(key));
    const node = nodes.get(key);
    if (parent.children[place] !== node) parent.insertBefore(node, parent.children[place] ?? null);
  });
}

const steps = new Map();
function makeStep(name) {
  const part = { badge: el("span", { class: "badge" }, icon("pending"), el("span", { class: "spoken" })),
    agent: el("span", { class: "agent" }, name), calls: el("span", { class: "calls" }), activity: el("div", { class: "activity" }), subSteps: el("ul", { class: "sub-steps" }),
    lane: el("div", { class: "lane", "aria-hidden": "true" }, el("i")), took: el("div", { class: "took" }), used: el("span"), cost: el("span", { class: "cost" }), ...makeCallParts(),
    fault: el("div", { class: "fault" }, el("b"), el("span")) };
  const who = el("div", { class: "who" }, part.agent, part.calls, part.finish, part.model, part.activity, part.subSteps);
  const used = el("div", { class: "used" }, part.used, part.cost);
  part.lane.append(part.tries, part.first);
  const step = el("li", { class: "grid" }, part.badge, who, part.lane, part.took, used, part.fault, part.models, part.attempts);
  step.parts = part;
  return step;
}
function renderSteps(workflow, overall) {
  const names = Object.keys(workflow.agents);
  keyed($("steps"), steps, names, makeStep);
  for (const name of names) {
    const agent = workflow.agents[name], step = steps.get(name), part = step.parts;
    const state = agent.status !== "in-progress" ? agent.status : overall === "stalled" ? "stalled" : agent.waitingFor ? "waiting" : agent.status;
    attribute(step, "data-state", state);
    draw(part.badge.firstChild, state);
    text(part.badge.lastChild, state === "waiting" ? agentWord(agent) : word(state));
    part.calls.hidden = !(agent.calls > 1);
    text(part.calls, agent.calls + " calls");
    const activity = agent.activity.replace(/ \(Tokens: [\d,]+\)$/, "");
    const waiting = WAITING[agent.waitingFor];
    text(part.activity, waiting ? (activity ? activity + " · " : "") + waiting : activity);
    attribute(part.activity, "title", waiting && agent.taskId ? "task " + agent.taskId : "");
    renderSubSteps(part.subSteps, notedSteps(agent));
    text(part.used, agent.tokenUsage?.totalTokens === undefined ? "" : count(agent.tokenUsage.totalTokens) + " tok");
    renderCalls(part, agent);
    part.fault.hidden = !agent.error;
    text(part.fault.firstChild, agent.errorType || "");
    text(part.fault.lastChild, agent.error || "");
  }
  const agents = Object.values(workflow.agents);
  $("marks-first").hidden = !agents.some((agent) => agent.timeToFirstChunk !== undefined);
  $("marks-tries").hidden = !agents.some((agent) => agent.attempts);
  $("marks").hidden = $("marks-first").hidden && $("marks-tries").hidden;
}

// What an older writer has noted of an agent's work. Its words for the states are its own.
const SUB_STATES = { loading: "in-progress", completed: "success", failed: "error" };
function renderSubSteps(list, subSteps) {
  list.hidden = subSteps.length === 0;
  const key = JSON.stringify(subSteps);
  if (list.dataset.key === key) return;
  list.dataset.key = key;
  list.replaceChildren(...subSteps.map(({ title, status, description }) => {
    const name = shownAs(status), state = Object.hasOwn(SUB_STATES, name) ? SUB_STATES[name] : name;
    const note = shownAs(description);
    const what = el("span", {}, el("span", { class: "what" }, shownAs(title)), ...(note ? [" ", el("span", { class: "quiet" }, note)] : []));
    return el("li", { "data-state": state }, icon(state), el("span", { class: "spoken" }, word(state)), what);
  }));
}

const rows = new Map();
const COUNTS = ["inputTokens", "cacheReadInputTokens", "cacheWriteInputTokens", "outputTokens", "reasoningTokens", "totalTokens"];
const STORED = 2;
function makeRow(name) {
  const bar = el("div", { class: "bar", "aria-hidden": "true" }, ...["fresh", "cached", "stored", "written", "thought"].map((tone) => el("i", { class: tone })));
  const share = el("td", { role: "cell", class: "share" }, bar), head = el("th", { role: "rowheader", scope: "row" }, name);
  const cells = COUNTS.map(() => el("td", { role: "cell" })), cost = el("td", { role: "cell", class: "cost" });
  cells.at(-1).classList.add("sum");
  const row = el("tr", { role: "row" }, head, share, ...cells, cost);
  row.parts = { bar, cells, cost };
  return row;
}
function fillRow(row, usage, cost, unpriced) {
  const { cells } = row.parts;
  COUNTS.forEach((name, place) => {
    if (place !== STORED) text(cells[place], count(usage[name]));
    cells[place].classList.toggle("none", usage[name] === undefined);
  });
  // How long it is kept, where that is told apart.
  const kept = [["5 min", usage.cacheWrite5mInputTokens], ["1 h", usage.cacheWrite1hInputTokens]].filter(([, part]) => part);
  const lines = [count(usage.cacheWriteInputTokens), ...kept.map(([time, part]) => time + " " + count(part))];
  if (cells[STORED].dataset.key !== lines.join()) {
    cells[STORED].dataset.key = lines.join();
    cells[STORED].replaceChildren(lines[0], ...lines.slice(1).map((line) => el("small", {}, line)));
  }
  cells[STORED].hidden = $("head-stored").hidden;
  showCost(row.parts.cost, cost, unpriced);
  row.parts.cost.hidden = $("head-cost").hidden;
}
function fillBar(bar, usage, most) {
  const input = usage.inputTokens ?? 0, output = usage.outputTokens ?? 0;
  const cached = Math.min(usage.cacheReadInputTokens ?? 0, input), stored = Math.min(usage.cacheWriteInputTokens ?? 0, input - cached);
  const thought = Math.min(usage.reasoningTokens ?? 0, output);
  const parts = [input - cached - stored, cached, stored, output - thought, thought];
  parts.forEach((part, place) => style(bar.children[place], "width", (100 * part / most || 0) + "%"));
}
const sum = makeRow("All agents");
sum.parts.bar.remove();
$("tokens-sum").append(sum);
function renderTokens(workflow) {
  const used = Object.entries(workflow.agents).filter(([, agent]) => agent.tokenUsage || agent.cost);
  const total = workflow.totalTokenUsage;
  $("usage").hidden = used.length === 0;
  $("head-stored").hidden = $("legend-stored").hidden = !total.cacheWriteInputTokens;
  $("head-cost").hidden = !workflow.totalCost;
  $("tokens").classList.toggle("costs", Boolean(workflow.totalCost));
  $("tokens").classList.toggle("wide", Boolean(workflow.totalCost || total.cacheWriteInputTokens));
  keyed($("tokens-of"), rows, used.map(([name]) => name), makeRow);
  const size = (usage) => Math.max(usage.totalTokens ?? 0, (usage.inputTokens ?? 0) + (usage.outputTokens ?? 0));
  const most = Math.max(1, ...used.map(([, agent]) => size(agent.tokenUsage ?? {})));
  for (const [name, agent] of used) {
    fillRow(rows.get(name), agent.tokenUsage ?? {}, agent.cost, agent.unpricedCalls);
    fillBar(rows.get(name).parts.bar, agent.tokenUsage ?? {}, most);
  }
  fillRow(sum, total, workflow.totalCost, workflow.unpricedCalls);
}

// The clocks, and the bars that grow with them. They stop while the connection is lost, since
// it is unknown whether anything is running.

const NICE = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400, 172800, 604800];
let axis = "";
function tick() {
  if (!shown) return;
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
setInterval(() => { if (!document.hidden) { renderAges(); if (shown) tick(); } }, 5000);

