// The selected workflow and its events

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
