// Browser notifications of failures: off until the user turns them on
//
// The tab that leads shows them, so that there is one for all tabs. If all tabs are hidden, one of
// them still reads the overview.

const NOTICES = "agent-status notices " + base;
const RECENT = 600000;      // ms after which a failure is no news
const MOST_NOTICES = 3;     // at once; more of them are shown as one
let notices = isAllowed() && stored() === "on", known = null;

function isAllowed() { return "Notification" in window && Notification.permission === "granted"; }
function stored() {
  try { return localStorage.getItem(NOTICES); } catch { return null; }
}
function setNotices(isOn) {
  notices = isOn;
  known = null;
  try { localStorage.setItem(NOTICES, isOn ? "on" : "off"); } catch { /* until the tab is closed */ }
  showNotices("");
  tell();
}
function showNotices(trouble) {
  attribute($("notify"), "aria-pressed", String(notices));
  $("notify-trouble").hidden = !trouble;
  text($("notify-trouble"), trouble);
}
$("notify").addEventListener("click", async () => {
  if (notices) return setNotices(false);
  if (!("Notification" in window)) return showNotices("This browser does not support notifications, or not for a page without TLS.");
  const answer = await Notification.requestPermission();
  if (answer === "granted") setNotices(true);
  else showNotices("The browser blocks notifications from this page. Allow them in its settings.");
});
addEventListener("storage", ({ key }) => {
  if (key !== NOTICES) return;
  notices = isAllowed() && stored() === "on";
  showNotices("");
  tell();
});
showNotices("");

function notice({ problems }) {
  const stateOfProblem = ({ workflow }) => (workflow.stalled ? "stalled" : "failed");
  const idOf = (problem) => [problem.workflow.sessionId, problem.workflow.createdAt, stateOfProblem(problem)].join(" ");
  const isRecent = ({ workflow, endedAt }) => now() - (parse(endedAt) || parse(workflow.lastUpdated)) < RECENT;
  const before = known;
  known = new Map(problems.map((problem) => [idOf(problem), problem]));
  if (!before || !notices || !leading) return;
  const news = problems.filter((problem) => !before.has(idOf(problem)) && isRecent(problem));
  if (news.length > MOST_NOTICES) return inform(count(news.length) + " workflows failed or stalled", news.map(({ workflow }) => workflow.sessionId).slice(0, 5).join(", "), "several", "#board");
  for (const problem of news) {
    const { workflow, agent, error } = problem, state = stateOfProblem(problem);
    const why = error ?? (state === "stalled" ? "No heartbeat." : "");
    inform(workflow.sessionId + " " + word(state), [agent, why].filter(Boolean).join(": "), idOf(problem), hashOf(workflow.sessionId));
  }
}
function inform(title, body, tag, hash) {
  const notification = new Notification(title, { body, tag: "agent-status " + tag });
  notification.addEventListener("click", () => {
    focus();
    location.hash = hash;
    notification.close();
  });
}
