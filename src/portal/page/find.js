// The filter and the search. Both are in the URL, so that a link shows the same.

const FILTERS = {
  all: () => true,
  running: (entry) => !entry.stalled && !entry.waiting && ["initializing", "processing"].includes(entry.status),
  waiting: (entry) => Boolean(entry.waiting) && !entry.stalled,
  stalled: (entry) => entry.stalled,
  failed: (entry) => entry.status === "failed",
  completed: (entry) => entry.status === "completed",
};
let filter = "all", wanted = "";

// The texts of a workflow by the names under which they can be searched for
const textsOf = ({ sessionId, correlationId, attributes }) => [["sessionId", sessionId], ...(correlationId ? [["correlationId", correlationId]] : []), ...Object.entries(attributes ?? {})];
// `documentId:FAB_1` or `documentId=FAB_1`
function named(term) {
  const [, name, value] = /^([^\s:=]+)[:=](.+)$/.exec(term) ?? [];
  return name === undefined ? null : { name, value };
}
function matches(entry) {
  if (!FILTERS[filter](entry)) return false;
  if (wanted === "") return true;
  const texts = textsOf(entry).map(([name, value]) => [name.toLowerCase(), String(value).toLowerCase()]);
  return wanted.split(/\s+/).every((term) => {
    const pair = named(term);
    return texts.some(([name, value]) => value.includes(term) || (pair && name === pair.name && value.includes(pair.value)));
  });
}

function setFilter(name) {
  filter = name;
  for (const button of document.querySelectorAll("[data-filter]")) button.setAttribute("aria-pressed", String(button.dataset.filter === name));
  changedSearch();
}
function setSearch(query) {
  wanted = query.trim().toLowerCase();
  forgetFound();
  changedSearch();
}
function changedSearch() {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of [["state", filter === "all" ? "" : filter], ["q", $("search").value.trim()]]) {
    if (value) query.set(name, value); else query.delete(name);
  }
  const search = String(query);
  if (search !== location.search.slice(1)) history.replaceState(null, "", location.pathname + (search ? "?" + search : "") + location.hash);
  renderList();
  renderBoard();
  renderFurther();
}
function readAddress() {
  const query = new URLSearchParams(location.search), state = query.get("state");
  $("search").value = query.get("q") ?? "";
  wanted = $("search").value.trim().toLowerCase();
  setFilter(Object.hasOwn(FILTERS, state) ? state : "all");
}
for (const button of document.querySelectorAll("[data-filter]")) button.addEventListener("click", () => setFilter(button.dataset.filter));
$("search").addEventListener("input", () => setSearch($("search").value));
$("search").addEventListener("keydown", (event) => {
  if (event.key === "Escape") { $("search").value = ""; setSearch(""); $("search").blur(); }
  if (event.key !== "Enter") return;
  const first = $("list").querySelector("li:not([hidden]) a"), pair = named($("search").value.trim());
  if (first) first.focus(); else if (pair) searchTable(pair.name, pair.value);
});

// Beyond the list: an exact match, among older workflows of the table

let searching = null;
function choices() {
  const query = $("search").value.trim(), pair = named(query);
  if (query === "") return [];
  const uses = new Map([["correlationId", Infinity]]);
  for (const { entry } of entries.values()) for (const name of Object.keys(entry.attributes ?? {})) uses.set(name, (uses.get(name) ?? 0) + 1);
  const names = [...uses].sort((a, b) => b[1] - a[1]).slice(0, 6).map(([name]) => name);
  // The list has the spelling of a name that it knows.
  return pair ? [{ ...pair, name: names.find((name) => name.toLowerCase() === pair.name.toLowerCase()) ?? pair.name }] : names.map((name) => ({ name, value: query }));
}
function renderFurther() {
  const all = choices(), query = $("search").value.trim();
  $("further").hidden = all.length === 0;
  if (all.length === 0 || $("further-by").dataset.key === JSON.stringify(all)) return;
  $("further-by").dataset.key = JSON.stringify(all);
  const buttons = all.map(({ name, value }) => {
    const button = el("button", { type: "button" }, name + " = " + value);
    button.addEventListener("click", () => searchTable(name, value));
    return button;
  });
  const open = el("a", { href: hashOf(query) }, "Open the session " + query);
  $("further-by").replaceChildren(...buttons, ...(named(query) ? [] : [open]));
}
function forgetFound() {
  searching?.abort();
  searching = null;
  text($("further-result"), "");
  $("found").replaceChildren();
}
async function searchTable(name, value) {
  forgetFound();
  const { signal } = searching = new AbortController();
  text($("further-result"), "Searching the table…");
  try {
    const answer = await (await request("search?" + new URLSearchParams({ attribute: name, value }), { signal, cache: "no-store" })).json();
    text($("further-result"), howFar(answer));
    $("found").replaceChildren(...answer.workflows.map((entry) => {
      const item = makeItem(entry.sessionId);
      item.firstChild.removeAttribute("tabindex");
      fillItem(item, entry);
      return item;
    }));
  } catch (error) {
    if (!signal.aborted) text($("further-result"), "The search failed" + (error instanceof Refused ? ": " + error.message : "") + ". Try again.");
  }
}
function howFar({ workflows, indexed, searched, oldest, complete, readUnits }) {
  const found = workflows.length === 0 ? "None" : count(workflows.length);
  const cost = readUnits === null ? "" : "; it took " + number.format(Math.round(10 * readUnits) / 10) + (readUnits === 1 ? " read unit" : " read units");
  if (indexed) return found + " in the table's index of this attribute" + cost + ".";
  // A user to whom some are hidden is not told how many there are.
  const searchedCount = searched === null ? "" : count(searched) + " ";
  const reach = "the " + searchedCount + (complete ? "workflows of the table" : "newest workflows") + (!complete && parse(oldest) ? ", back to " + day.format(parse(oldest)) : "");
  return found + " among " + reach + cost + ".";
}
