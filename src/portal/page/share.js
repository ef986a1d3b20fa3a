// One event stream and one list for all tabs of a browser, which allows six connections to a host
//
// Of the visible tabs, the one that holds a lock leads: it reads what all of them want, and posts
// it to a channel. When it is hidden or closed, another one gets the lock. While all are hidden,
// nothing is read, unless notifications are on: then one of them reads the overview. Where there are no locks, as without TLS, each visible tab reads for itself.

const tab = Math.random().toString(36).slice(2);
const channel = navigator.locks ? new BroadcastChannel("agent-status " + base) : null;
const wants = new Map();   // what each tab wants, in the tab that leads
// What the leading tab has read. The stream is `wait`, `live`, `stale`, `polled`, `lost` or
// `refused`; the list is `ok`, `stale` or `lost`.
const read = { stream: "wait", list: "ok" };
const cache = { workflows: new Map(), overview: null, list: null };
let lastList = null, place = null, leading = false, wantsChanged = () => {};

function post(message) {
  channel?.postMessage(message);
  receive(message);
}
function receive(message) {
  if (message.to && message.to !== tab) return;
  switch (message.kind) {
    case "want": if (leading) take(message); return;
    case "bye": if (leading && wants.delete(message.tab)) wantsChanged(); return;
    case "who": tell(); return;
    case "stream": read.stream = message.state; break;
    case "list-failed": read.list = message.state; break;
    case "list-same": read.list = "ok"; skew = message.skew; if (lastList) shownList(lastList); break;
    case "list": read.list = "ok"; skew = message.skew; lastList = message; shownList(message); break;
    case "workflow": if (message.data.sessionId === chosen) shownWorkflow(message.data); break;
    case "refused": if (message.data.sessionId === chosen) refused(message.data.detail); break;
    case "overview":
      notice(message.data);
      if (view === "board") shownOverview(message.data);
      break;
  }
  showLink();
}

// What this tab wants
function mine() {
  const isShown = !document.hidden;
  return {
    isShown,
    sessions: isShown && view !== "board" && chosen !== null && watching ? [chosen] : [],
    overview: (isShown && view === "board") || notices,
  };
}
function tell() {
  if (!place) return;
  const message = { kind: "want", tab, ...mine() };
  if (leading) take(message); else channel?.postMessage(message);
}
// The leading tab notes what a tab wants, and sends it what is known already.
function take(message) {
  // A browser slows the timers of a hidden tab down, so that one that is shown reads.
  if (document.hidden && message.isShown) {
    leave();
    enter();
    return;
  }
  const isNew = !wants.has(message.tab);
  wants.set(message.tab, message);
  const to = message.tab;
  const known = message.sessions.map((id) => cache.workflows.get(id)).filter(Boolean);
  const messages = known.map((data) => ({ kind: "workflow", data, to }));
  if (message.overview && cache.overview) messages.push({ kind: "overview", data: cache.overview, to });
  if (isNew && cache.list && to !== tab) messages.push({ ...cache.list, to }, { kind: "stream", state: read.stream, to });
  for (const each of messages) post(each);
  wantsChanged();
}

function enter() {
  if (place) return;
  place = new AbortController();
  const { signal } = place;
  read.stream = "wait";
  tell();
  const alone = () => lead(signal).catch(reportError);
  if (!navigator.locks) return void alone();
  navigator.locks.request("agent-status " + base, { signal }, () => lead(signal))
    .catch((error) => { if (error.name === "SecurityError") alone(); else if (error.name !== "AbortError") reportError(error); });
}
function leave() {
  if (!place) return;
  place.abort();
  place = null;
  channel?.postMessage({ kind: "bye", tab });
}
channel?.addEventListener("message", ({ data }) => { if (place) receive(data); });
document.addEventListener("visibilitychange", () => {
  leave();
  if (!document.hidden || notices) enter();
});
addEventListener("pagehide", leave);
addEventListener("pageshow", () => { if (!document.hidden) enter(); });

// Reads for all tabs until the signal.
async function lead(signal) {
  if (signal.aborted) return;
  leading = true;
  wants.clear();
  cache.workflows.clear();
  cache.overview = cache.list = null;
  wants.set(tab, { tab, ...mine() });
  channel?.postMessage({ kind: "who" });
  try {
    // A hidden tab shows no list.
    await Promise.all([document.hidden ? null : keepList(signal), keepStream(signal)]);
  } finally {
    leading = false;
  }
}
