// How the selected workflow is shown

function render() {
  const { workflow, finished } = shown;
  const overall = stateOf(workflow, finished);
  text($("session"), workflow.sessionId);
  attribute($("overall"), "data-state", overall);
  draw($("overall").firstChild, overall);
  text($("overall").lastChild, word(overall));
  renderFacts(workflow);
  renderAround(workflow);
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
  titleOfWorkflow(workflow, overall, done, agents.length);
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
