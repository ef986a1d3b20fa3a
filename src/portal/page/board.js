// The board: what all of the newest workflows are doing

let overview = null;
const COUNTED = [["all", "All"], ["running", "Running"], ["waiting", "Waiting"], ["stalled", "Stalled"], ["failed", "Failed"], ["completed", "Completed"]];
const tiles = new Map();
for (const [name, title] of COUNTED) {
  const number = el("span", { class: "number" }, "–");
  const tile = el("button", { type: "button", class: "count-tile", "data-filter": name, "aria-pressed": "false", "data-state": name === "running" ? "processing" : name },
    el("span", { class: "what" }, title), number);
  tile.number = number;
  tiles.set(name, tile);
}
$("counts").append(...tiles.values());

function shownOverview(data) {
  const before = overview;
  overview = data;
  lastSeen = now();
  // The list is read less often.
  for (const entry of data.running) {
    if (entries.has(entry.sessionId)) updateEntry({ ...entry, agents: Object.fromEntries(Object.entries(entry.agents).map(([name, agent]) => [name, agent.status])) });
  }
  renderBoard();
  announceProblems(before, data);
}
function announceProblems(before, { problems }) {
  if (!before) return;
  const key = ({ workflow }) => workflow.sessionId + " " + (workflow.stalled ? "stalled" : word(workflow.status));
  const known = new Set(before.problems.map(key));
  const news = problems.map(key).filter((each) => !known.has(each));
  if (news.length > 0) text($("spoken"), news.join(", "));
}

function renderBoard() {
  const isEmpty = !overview || overview.workflows === 0;
  $("board-view").hidden = view !== "board" || isEmpty;
  $("welcome").hidden = view === "board" ? !overview || !isEmpty : order.length > 0 || chosen !== null;
  if (isEmpty || view !== "board") return;
  const { counts } = overview;
  const numbers = { ...counts, all: overview.workflows, running: counts.initializing + counts.processing };
  for (const [name, tile] of tiles) {
    text(tile.number, count(numbers[name]));
    tile.classList.toggle("zero", numbers[name] === 0);
  }
  const oldest = parse(overview.oldest);
  text($("extent"), "The newest " + count(overview.workflows) + (oldest ? ", since " + at(oldest) : ""));
  renderLanes(overview);
  renderProblems(overview);
  renderCharts(overview.hours, overview.partial);
  renderPaces(overview.agents);
  titleOfBoard(overview);
  tickBoard();
}

// What has failed or stalled, with its first error

const problems = new Map();
function makeProblem(sessionId) {
  const part = { badge: el("span", { class: "badge" }, icon("failed"), el("span", { class: "spoken" })), when: el("span", { class: "when quiet" }), fault: el("span", { class: "what" }, el("b"), el("span")) };
  const item = el("li", {}, el("a", { href: hashOf(sessionId) }, part.badge, el("span", { class: "name", title: sessionId }, sessionId), part.when, part.fault));
  item.parts = part;
  return item;
}
function renderProblems({ problems: all, problemCount }) {
  const shownProblems = all.filter(({ workflow }) => matches(workflow));
  keyed($("problems"), problems, shownProblems.map(({ workflow }) => workflow.sessionId), makeProblem);
  for (const { workflow, agent, errorType, error, endedAt } of shownProblems) {
    const item = problems.get(workflow.sessionId), part = item.parts, state = workflow.stalled ? "stalled" : workflow.status;
    item.time = parse(endedAt) || parse(workflow.lastUpdated);
    attribute(item, "data-state", state);
    draw(part.badge.firstChild, state);
    text(part.badge.lastChild, word(state));
    text(part.fault.firstChild, [agent, errorType].filter(Boolean).join(" · "));
    text(part.fault.lastChild, error ?? (workflow.stalled ? "No heartbeat: its process has stopped, or cannot reach the table." : "No reason was given."));
  }
  renderProblemAges();
  $("no-problems").hidden = shownProblems.length > 0;
  text($("no-problems"), all.length ? "None match the filter." : "None.");
  text($("problems-note"), problemCount > all.length ? "The newest " + all.length + " of " + count(problemCount) : problemCount ? count(problemCount) : "");
}

function renderProblemAges() { for (const { parts, time } of problems.values()) text(parts.when, isNaN(time) ? "" : ago(time)); }

// How long each agent takes

const paces = new Map();
// A long name is wrapped between its words.
const inWords = (name) => name.split(/(?=[A-Z_-])/).flatMap((part, place) => (place ? [el("wbr"), part] : [part]));
function makePace(name) {
  const cells = [0, 1, 2].map(() => el("td", { role: "cell" })), row = el("tr", { role: "row" }, el("th", { role: "rowheader", scope: "row" }, ...inWords(name)), ...cells);
  row.cells3 = cells;
  return row;
}
const seconds = (value) => (value === null ? "–" : duration(1000 * value));
function renderPaces(agents) {
  $("paces").hidden = Object.keys(agents).length === 0;
  keyed($("paces-of"), paces, Object.keys(agents), makePace);
  for (const [name, agent] of Object.entries(agents)) {
    const [median, p95, errors] = paces.get(name).cells3;
    text(median, seconds(agent.medianDuration));
    text(p95, seconds(agent.p95Duration));
    attribute(p95, "title", agent.p95Duration === null ? "Shown after 20 successes; there are " + count(agent.succeeded) + " so far." : "of " + count(agent.succeeded) + " successes");
    text(errors, count(agent.errors));
    errors.classList.toggle("bad", agent.errors > 0);
  }
}
