// The agents of the selected workflow

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
