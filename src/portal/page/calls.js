// What is known of an agent's calls: its model, its cost, its attempts, and their marks on the time line

// How many calls a cost lacks, as text for its tooltip.
const lacks = (unpriced) => (unpriced ? "; the cost of " + (unpriced === 1 ? "1 call" : unpriced + " calls") + " is not fully known" : "");
// A rounded cost. The exact amount is its tooltip.
function showCost(node, cost, unpriced) {
  node.hidden = !cost;
  text(node, cost ? cost.short : "");
  attribute(node, "title", cost ? cost.exact + lacks(unpriced) : "");
}

function renderTotalCost(workflow) {
  const { totalCost, unpricedCalls, budget } = workflow;
  $("tiles").classList.toggle("costs", Boolean(totalCost));
  $("cost-tile").hidden = !totalCost;
  if (totalCost) big("cost", totalCost.short);
  attribute($("cost"), "title", totalCost ? totalCost.exact + lacks(unpricedCalls) : "");
  const notes = [];
  if (unpricedCalls) notes.push(count(unpricedCalls) + (unpricedCalls === 1 ? " call" : " calls") + " not fully priced");
  if (budget) notes.push("budget " + budget.short);
  text($("cost-note"), notes.join(", "));
}

function renderBudget(workflow) {
  const exceeded = parse(workflow.budgetExceededAt), note = $("budget");
  note.hidden = isNaN(exceeded);
  if (note.hidden) return;
  const used = [];
  if (workflow.budget) used.push((workflow.totalCost?.short ?? "unknown") + " of at most " + workflow.budget.short);
  if (workflow.budgetTokens !== undefined) used.push(count(workflow.totalTokenUsage.totalTokens) + " of at most " + count(workflow.budgetTokens) + " tokens");
  text(note.firstChild, "Over its budget since " + at(exceeded));
  text(note.lastChild, used.join("; "));
}

function makeCallParts() {
  return {
    finish: el("span", { class: "finish" }),
    model: el("div", { class: "model" }, el("span"), el("span", { class: "first-token" })),
    models: el("table", { class: "models", role: "table" }),
    attempts: el("details", { class: "attempts" }, el("summary"), el("ol")),
    first: el("b", { class: "first" }),
    tries: el("span"),
  };
}
function renderCalls(part, agent) {
  part.finish.hidden = !agent.finishReason || agent.stoppedNormally;
  text(part.finish, "stopped: " + agent.finishReason);
  const firstAfter = agent.timeToFirstChunk;
  part.model.hidden = !agent.model && firstAfter === undefined;
  text(part.model.firstChild, agent.model ?? "");
  text(part.model.lastChild, firstAfter === undefined ? "" : "first token after " + duration(1000 * firstAfter));
  attribute(part.first, "title", part.model.lastChild.textContent);
  showCost(part.cost, agent.cost, agent.unpricedCalls);
  renderModels(part.models, agent.models);
  renderAttempts(part, agent);
}

function renderModels(table, models) {
  table.hidden = !models;
  const key = JSON.stringify(models);
  if (table.dataset.key === key) return;
  table.dataset.key = key;
  const row = (kind, role, ...cells) => el("tr", { role: "row" }, ...cells.map((cell, place) => {
    const node = el(kind, { role: place === 0 && kind === "td" ? "rowheader" : role });
    if (typeof cell === "string") node.append(cell); else showCost(node, cell.cost, cell.unpricedCalls);
    // A cell without a cost is empty, not removed.
    node.hidden = false;
    return node;
  }));
  const rows = Object.entries(models ?? {}).map(([name, usage]) => row("td", "cell", name, count(usage.totalTokens), usage));
  table.replaceChildren(el("thead", { role: "rowgroup" }, row("th", "columnheader", "Model", "Tokens", "Cost")), el("tbody", { role: "rowgroup" }, ...rows));
}

function renderAttempts(part, agent) {
  const attempts = agent.attempts ?? [];
  part.attempts.hidden = attempts.length === 0;
  const key = JSON.stringify([attempts, agent.calls]);
  if (part.attempts.dataset.key === key) return;
  part.attempts.dataset.key = key;
  // Only the last ones are kept.
  const first = Math.max(0, agent.calls - attempts.length) + 1;
  const failed = attempts.filter((attempt) => attempt.status === "error").length;
  const kept = first > 1 ? "The last " + attempts.length + " of " + agent.calls + " calls" : attempts.length === 1 ? "1 call" : attempts.length + " calls";
  text(part.attempts.firstChild, kept + (failed ? ", " + failed + " failed" : ""));
  const items = attempts.map((attempt, place) => {
    const facts = ["Attempt " + (first + place), at(parse(attempt.startedAt)), duration(1000 * attempt.duration), word(attempt.status)];
    if (attempt.errorType) facts.push(attempt.errorType);
    if (attempt.model) facts.push(attempt.model);
    if (attempt.tokenUsage) facts.push(count(attempt.tokenUsage.totalTokens) + " tokens");
    if (attempt.retryAfter !== undefined) facts.push("retry after " + duration(1000 * attempt.retryAfter));
    if (attempt.requestId) facts.push("request " + attempt.requestId);
    return el("li", { "data-state": attempt.status }, icon(attempt.status), el("span", {}, ...facts.flatMap((fact) => [el("span", { class: "fact" }, fact), " "])));
  });
  part.attempts.lastChild.replaceChildren(...items);
  part.tries.replaceChildren(...attempts.map((attempt, place) => el("u", { "data-state": attempt.status,
    title: "Attempt " + (first + place) + ": " + (attempt.errorType ?? word(attempt.status)) + " after " + duration(1000 * attempt.duration) })));
}

// The steps that an older writer wrote. Others are made from the attempts, which have a list of their own.
function notedSteps({ subSteps, attempts }) {
  const isMade = attempts?.length === subSteps.length && subSteps.every(({ title }) => /^Attempt \d+$/.test(title));
  return isMade ? [] : subSteps;
}

// When an agent's last ended call started, if known.
function lastCallBegan(agent) {
  let began = agent.calls > 1 ? NaN : parse(agent.startedAt), ended = -Infinity;
  for (const attempt of agent.attempts ?? []) {
    const from = parse(attempt.startedAt), to = from + 1000 * attempt.duration;
    if (to >= ended) { began = from; ended = to; }
  }
  return began;
}
// Puts the marks of an agent's calls at their places on its lane.
function placeMarks(part, agent, start, span) {
  const place = (time) => (100 * Math.max(0, time - start) / span).toFixed(2) + "%";
  const first = lastCallBegan(agent) + 1000 * agent.timeToFirstChunk;
  part.first.hidden = !(first >= start && first <= start + span);
  if (!part.first.hidden) style(part.first, "left", place(first));
  (agent.attempts ?? []).forEach((attempt, n) => {
    const mark = part.tries.children[n], from = parse(attempt.startedAt);
    style(mark, "left", place(from));
    style(mark, "width", (100000 * attempt.duration / span).toFixed(2) + "%");
  });
}
