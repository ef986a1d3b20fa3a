// The words for the states

const WORDS = { pending: "not started", "in-progress": "in progress", success: "done", error: "failed",
  initializing: "starting", processing: "running", completed: "completed", failed: "failed", stalled: "stalled", waiting: "waiting" };
const WAITING = { task: "waiting for its task", input: "waiting for input", authorization: "waiting for authorization" };
const word = (state) => (Object.hasOwn(WORDS, state) ? WORDS[state] : state);
const stateOf = (workflow, finished) => (finished ? workflow.overallStatus : workflow.stalled ? "stalled" : workflow.waiting ? "waiting" : workflow.overallStatus);
// A new run of a session is created later than the previous run.
const isNewRun = (before, workflow) => parse(workflow.createdAt) > parse(before.createdAt);
const agentWord = (agent) => WAITING[agent.waitingFor] || word(agent.status);
