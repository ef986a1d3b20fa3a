// The list of workflows

const entries = new Map(), items = new Map();
let order = [];

function makeItem(sessionId) {
  const part = { dot: el("i", { class: "dot" }), status: el("span", { class: "status" }), more: el("span"), when: el("span", { class: "when" }), pips: el("span", { class: "pips", "aria-hidden": "true" }), cost: el("span", { class: "cost" }) };
  const anchor = el("a", { href: hashOf(sessionId), tabindex: "-1", title: sessionId },
    el("span", { class: "row" }, part.dot, el("span", { class: "name" }, sessionId), part.cost),
    el("span", { class: "sub" }, part.status, part.more, part.when), part.pips);
  const item = el("li", {}, anchor);
  item.parts = part;
  return item;
}
function updateEntry(entry) {
  const known = entries.get(entry.sessionId);
  const key = JSON.stringify(entry);
  if (known?.key === key) return;
  // Live events can be newer than the list.
  if (known && parse(known.entry.lastUpdated) > parse(entry.lastUpdated) && !(parse(entry.createdAt) > parse(known.entry.createdAt))) return;
  entries.set(entry.sessionId, { entry, key, created: parse(entry.createdAt) });
  if (items.has(entry.sessionId)) renderItem(entry.sessionId);
}
function renderItem(sessionId) {
  fillItem(items.get(sessionId), entries.get(sessionId).entry);
}
function fillItem(item, entry) {
  const part = item.parts, created = parse(entry.createdAt);
  const state = entry.stalled ? "stalled" : entry.waiting ? "waiting" : entry.status;
  attribute(part.dot, "data-state", state);
  attribute(part.status, "data-state", state);
  text(part.status, word(state));
  text(part.more, entry.totalTokens ? "· " + count(entry.totalTokens) + " tokens" : "");
  showCost(part.cost, entry.totalCost, entry.unpricedCalls);
  const states = Object.values(entry.agents);
  if (part.pips.children.length !== states.length) part.pips.replaceChildren(...states.map(() => el("i")));
  states.forEach((agent, place) => attribute(part.pips.children[place], "data-state", agent === "in-progress" && state !== entry.status ? state : agent));
  text(part.when, created ? ago(created) : "");
}
function renderAge(sessionId) {
  const { created } = entries.get(sessionId);
  text(items.get(sessionId).parts.when, created ? ago(created) : "");
}
function renderAges() { for (const sessionId of items.keys()) renderAge(sessionId); }

function renderList() {
  for (const sessionId of order) {
    if (!items.has(sessionId)) { items.set(sessionId, makeItem(sessionId)); renderItem(sessionId); }
  }
  keyedList();
  let visible = 0;
  for (const sessionId of order) {
    const { entry } = entries.get(sessionId);
    const isShown = matches(entry);
    items.get(sessionId).hidden = !isShown;
    visible += isShown;
  }
  text($("count"), visible === order.length ? count(visible) : count(visible) + " of " + count(order.length));
  $("none").hidden = visible > 0;
  text($("none"), order.length ? "No matching workflows." : "No workflows yet.");
  markChosen();
}
function keyedList() {
  const wantedIds = new Set(order);
  for (const [sessionId, item] of items) {
    if (!wantedIds.has(sessionId)) { item.remove(); items.delete(sessionId); entries.delete(sessionId); }
  }
  order.forEach((sessionId, place) => {
    const item = items.get(sessionId), there = $("list").children[place];
    if (there !== item) $("list").insertBefore(item, there ?? null);
  });
}
function markChosen() {
  let stop = null;
  for (const [sessionId, item] of items) {
    const anchor = item.firstChild, current = sessionId === chosen;
    if (current) attribute(anchor, "aria-current", "true"); else anchor.removeAttribute("aria-current");
    if (!item.hidden && (current || stop === null)) stop = anchor;
    attribute(anchor, "tabindex", "-1");
  }
  // The list is a single Tab stop; the arrow keys move within it.
  const focused = $("list").contains(document.activeElement) ? document.activeElement : null;
  (focused ?? $("list").querySelector("li:not([hidden]) a[aria-current]") ?? $("list").querySelector("li:not([hidden]) a"))?.setAttribute("tabindex", "0");
  for (const [id, isCurrent] of [["follow", following], ["to-board", view === "board"]]) {
    if (isCurrent) attribute($(id), "aria-current", "page"); else $(id).removeAttribute("aria-current");
  }
}
$("list").addEventListener("keydown", (event) => {
  const shownItems = [...$("list").children].filter((item) => !item.hidden).map((item) => item.firstChild);
  const place = shownItems.indexOf(document.activeElement);
  const next = { ArrowDown: place + 1, ArrowUp: place - 1, Home: 0, End: shownItems.length - 1, PageDown: place + 10, PageUp: place - 10 }[event.key];
  if (place < 0 || next === undefined) return;
  event.preventDefault();
  const target = shownItems[Math.max(0, Math.min(next, shownItems.length - 1))];
  document.activeElement.setAttribute("tabindex", "-1");
  target.setAttribute("tabindex", "0");
  target.focus();
});

// A list that the leading tab has read
function shownList({ list, truncated, unindexed }) {
  $("truncated").hidden = !truncated;
  $("unindexed").hidden = !unindexed;
  showList(list);
}
function showList(list) {
  order = list.map((entry) => entry.sessionId);
  list.forEach(updateEntry);
  renderList();
  if (view !== "board") $("welcome").hidden = order.length > 0 || chosen !== null;
  if (shown) renderRelated(shown.workflow);
  const newest = order[0] ?? null;
  if (following) choose(newest);
  const entry = entries.get(chosen)?.entry;
  if (entry && shown?.finished && !watching && entry.lastUpdated !== shown.workflow.lastUpdated) watchAgain();
}
// What changes in the overview when a workflow begins or ends
function figures() {
  const { overview } = cache;
  return overview && JSON.stringify([overview.counts, overview.oldest, overview.running.map(({ sessionId }) => sessionId)]);
}
// Reads the list again and again, in the leading tab.
async function keepList(signal) {
  let tag = null;
  while (!signal.aborted) {
    const start = Date.now(), before = figures();
    try {
      const response = await request("recent?limit=500&attributes=true", { cache: "no-cache", signal });
      const isSame = tag !== null && response.headers.get("etag") === tag;
      tag = response.headers.get("etag");
      const is = (name) => response.headers.get(name) === "true";
      if (!isSame) cache.list = { kind: "list", list: await response.json(), truncated: is("x-truncated"), unindexed: is("x-unindexed"), skew };
      try { post(isSame ? { kind: "list-same", skew } : cache.list); } catch (error) { reportError(error); }
    } catch (error) {
      if (signal.aborted) return;
      // The event stream reports a store that fails; a server that fails is noticed here.
      post({ kind: "list-failed", state: error instanceof Refused ? "stale" : "lost" });
    }
    await pause(read.list === "lost" ? 1000 : LIST_EVERY, signal);
    const isAtRest = () => before !== null && read.list === "ok" && read.stream === "live" && figures() === before;
    while (!signal.aborted && isAtRest() && Date.now() - start < LIST_AT_REST) await pause(500, signal);
  }
}
