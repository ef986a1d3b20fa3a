// The selected workflow and its changes

let chosen = null, following = true, watching = false, shown = null, view = "workflow";

function choose(sessionId) {
  // A finished workflow is not watched any more, and stays as it is until the list has news of it.
  if (sessionId === chosen && (watching || shown?.finished)) return;
  chosen = sessionId;
  shown = lastSeen = null;
  problem = "";
  watching = sessionId !== null;
  $("workflow").hidden = true;
  markChosen();
  tell();
  showLink();
}
// The list has news of a workflow that had finished: late tokens, or a new run.
function watchAgain() {
  watching = true;
  tell();
  showLink();
}
function refused(detail) {
  problem = "The portal cannot show this workflow: " + detail + ".";
  watching = false;
}
function shownWorkflow(workflow) {
  // Once it has finished, only news of it are shown.
  if (!watching && shown?.finished) return;
  show(workflow);
  if (shown.finished && watching) { watching = false; tell(); }
}

function show(workflow) {
  const before = shown;
  shown = { workflow, finished: ["completed", "failed"].includes(workflow.overallStatus) };
  lastSeen = now();
  problem = "";
  $("workflow").hidden = view === "board";
  render();
  announce(before?.workflow, workflow);
  const entry = entries.get(workflow.sessionId)?.entry;
  if (entry && workflow.createdAt) {
    const agents = Object.fromEntries(Object.entries(workflow.agents).map(([name, agent]) => [name, agent.status]));
    const { createdAt, lastUpdated, correlationId, stalled, waiting, totalCost, unpricedCalls } = workflow;
    updateEntry({ sessionId: workflow.sessionId, status: workflow.overallStatus, createdAt, lastUpdated, correlationId, stalled,
      totalTokens: workflow.totalTokenUsage.totalTokens, agents, waiting, totalCost, unpricedCalls, attributes: entry.attributes });
  }
}

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
