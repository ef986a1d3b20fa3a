// What belongs to a workflow: its id, its JSON, its trace, and related workflows

const MAX_RELATED = 12;
let relatedKey = "";
function renderAround(workflow) {
  const url = workflow.traceUrl;
  $("trace").hidden = !url;
  if (url) attribute($("trace"), "href", url);
  $("search-related").hidden = !workflow.correlationId;
  if ($("copy").dataset.of !== workflow.sessionId) {
    $("copy").dataset.of = workflow.sessionId;
    text($("around-result"), "");
  }
  renderRelated(workflow);
}
// Those with the same correlation id, and the one before of the same document
function relatedTo(workflow) {
  const own = parse(workflow.createdAt), { documentId } = workflow.attributes, found = [];
  let before = null;
  for (const { entry, created } of entries.values()) {
    if (entry.sessionId === workflow.sessionId) continue;
    if (workflow.correlationId && entry.correlationId === workflow.correlationId) found.push([created, entry, "same correlation id"]);
    else if (documentId && entry.attributes?.documentId === documentId && created < own && !(before?.[0] > created)) before = [created, entry, "previous, same document"];
  }
  found.sort((a, b) => b[0] - a[0]);
  return [...(before ? [before] : []), ...found.slice(0, MAX_RELATED)];
}
function renderRelated(workflow) {
  const related = relatedTo(workflow);
  $("related").hidden = related.length === 0;
  const key = JSON.stringify(related.map(([, { sessionId, status, stalled, waiting, lastUpdated }, how]) => [sessionId, status, stalled, waiting, lastUpdated, how]));
  if (key === relatedKey) return;
  relatedKey = key;
  $("related-of").replaceChildren(...related.map(([created, entry, how]) => {
    const state = entry.stalled ? "stalled" : entry.waiting ? "waiting" : entry.status, ended = parse(entry.lastUpdated);
    const facts = [word(state), ["completed", "failed"].includes(entry.status) && ended > created ? "took " + duration(ended - created) : "", entry.totalTokens ? count(entry.totalTokens) + " tokens" : "", entry.totalCost?.short ?? ""];
    return el("li", { "data-state": state }, el("a", { href: hashOf(entry.sessionId) },
      el("i", { class: "dot" }), el("span", { class: "name", title: entry.sessionId }, entry.sessionId), el("span", { class: "how quiet" }, how),
      el("span", { class: "quiet" }, facts.filter(Boolean).join(" · ")), el("span", { class: "when quiet" }, created ? at(created) : "")));
  }));
}

const says = (what) => text($("around-result"), what);
async function copy(value) {
  // Without TLS there is no clipboard, other than on this machine.
  if (navigator.clipboard) return navigator.clipboard.writeText(value);
  const field = el("textarea", { class: "spoken", "aria-hidden": "true" });
  field.value = value;
  document.body.append(field);
  field.select();
  const isCopied = document.execCommand("copy");
  field.remove();
  $("copy").focus();
  if (!isCopied) throw new Error("the browser did not allow copying");
}
$("copy").addEventListener("click", () => copy(shown.workflow.sessionId).then(() => says("Copied."), () => says("The browser did not allow copying.")));
$("download").addEventListener("click", async () => {
  const { sessionId } = shown.workflow;
  try {
    const json = await (await request(encodeURIComponent(sessionId) + "/status", { cache: "no-store" })).blob();
    const url = URL.createObjectURL(json);
    el("a", { href: url, download: sessionId.replace(/[^\w.-]+/g, "_") + ".json" }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
    says("Downloaded.");
  } catch (error) {
    says("The download failed" + (error instanceof Refused ? ": " + error.message : "") + ".");
  }
});
$("search-related").addEventListener("click", () => {
  const { correlationId } = shown.workflow;
  $("search").value = "correlationId:" + correlationId;
  document.body.dataset.pane = wide.matches ? document.body.dataset.pane : "list";
  setFilter("all");
  setSearch($("search").value);
  searchTable("correlationId", correlationId);
});
