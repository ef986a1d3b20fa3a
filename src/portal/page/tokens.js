// The table of tokens

const rows = new Map();
const COUNTS = ["inputTokens", "cacheReadInputTokens", "cacheWriteInputTokens", "outputTokens", "reasoningTokens", "totalTokens"];
const STORED = 2;
function makeRow(name) {
  const bar = el("div", { class: "bar", "aria-hidden": "true" }, ...["fresh", "cached", "stored", "written", "thought"].map((tone) => el("i", { class: tone })));
  const share = el("td", { role: "cell", class: "share" }, bar), head = el("th", { role: "rowheader", scope: "row" }, name);
  const cells = COUNTS.map(() => el("td", { role: "cell" })), cost = el("td", { role: "cell", class: "cost" });
  cells.at(-1).classList.add("sum");
  const row = el("tr", { role: "row" }, head, share, ...cells, cost);
  row.parts = { bar, cells, cost };
  return row;
}
function fillRow(row, usage, cost, unpriced) {
  const { cells } = row.parts;
  COUNTS.forEach((name, place) => {
    if (place !== STORED) text(cells[place], count(usage[name]));
    cells[place].classList.toggle("none", usage[name] === undefined);
  });
  // How long it is kept, where that is told apart.
  const kept = [["5 min", usage.cacheWrite5mInputTokens], ["1 h", usage.cacheWrite1hInputTokens]].filter(([, part]) => part);
  const lines = [count(usage.cacheWriteInputTokens), ...kept.map(([time, part]) => time + " " + count(part))];
  if (cells[STORED].dataset.key !== lines.join()) {
    cells[STORED].dataset.key = lines.join();
    cells[STORED].replaceChildren(lines[0], ...lines.slice(1).map((line) => el("small", {}, line)));
  }
  cells[STORED].hidden = $("head-stored").hidden;
  showCost(row.parts.cost, cost, unpriced);
  row.parts.cost.hidden = $("head-cost").hidden;
}
function fillBar(bar, usage, most) {
  const input = usage.inputTokens ?? 0, output = usage.outputTokens ?? 0;
  const cached = Math.min(usage.cacheReadInputTokens ?? 0, input), stored = Math.min(usage.cacheWriteInputTokens ?? 0, input - cached);
  const thought = Math.min(usage.reasoningTokens ?? 0, output);
  const parts = [input - cached - stored, cached, stored, output - thought, thought];
  parts.forEach((part, place) => style(bar.children[place], "width", (100 * part / most || 0) + "%"));
}
const sum = makeRow("All agents");
sum.parts.bar.remove();
$("tokens-sum").append(sum);
function renderTokens(workflow) {
  const used = Object.entries(workflow.agents).filter(([, agent]) => agent.tokenUsage || agent.cost);
  const total = workflow.totalTokenUsage;
  $("usage").hidden = used.length === 0;
  $("head-stored").hidden = $("legend-stored").hidden = !total.cacheWriteInputTokens;
  $("head-cost").hidden = !workflow.totalCost;
  $("tokens").classList.toggle("costs", Boolean(workflow.totalCost));
  $("tokens").classList.toggle("wide", Boolean(workflow.totalCost || total.cacheWriteInputTokens));
  keyed($("tokens-of"), rows, used.map(([name]) => name), makeRow);
  const size = (usage) => Math.max(usage.totalTokens ?? 0, (usage.inputTokens ?? 0) + (usage.outputTokens ?? 0));
  const most = Math.max(1, ...used.map(([, agent]) => size(agent.tokenUsage ?? {})));
  for (const [name, agent] of used) {
    fillRow(rows.get(name), agent.tokenUsage ?? {}, agent.cost, agent.unpricedCalls);
    fillBar(rows.get(name).parts.bar, agent.tokenUsage ?? {}, most);
  }
  fillRow(sum, total, workflow.totalCost, workflow.unpricedCalls);
}
