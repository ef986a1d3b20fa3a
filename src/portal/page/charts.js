// The small charts: workflows, tokens and cost of each hour, by when the workflows were created

const CHARTS = [
  { title: "Workflows", of: (hour) => hour.workflows, part: (hour) => hour.failed, says: (hour) => count(hour.workflows) + (hour.failed ? ", " + count(hour.failed) + " failed" : ""), sum: count },
  { title: "Tokens", of: (hour) => hour.totalTokens, says: (hour) => count(hour.totalTokens), sum: (total) => compact.format(total) },
  { title: "Cost", of: (hour) => hour.totalCostUsd ?? 0, says: (hour) => hour.totalCost?.short ?? "unknown", sum: (total, hours) => (hours.some((hour) => hour.unpricedCalls) ? "≥ " : "") + dollars.format(total) },
];
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });
const dollars = new Intl.NumberFormat("en", { style: "currency", currency: "USD" });
const hourOf = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
let chartsKey = "";
function renderCharts(hours, isPartial) {
  const key = JSON.stringify(hours);
  if (key === chartsKey) return;
  chartsKey = key;
  const hasCost = hours.some((hour) => hour.totalCost);
  const shownCharts = CHARTS.filter(({ title }) => title !== "Cost" || hasCost);
  const first = parse(hours[0]?.start);
  text($("charts-note"), hours.length < 24 && isPartial ? "since " + hourOf.format(first) : "last 24 hours");
  $("charts").replaceChildren(...shownCharts.map(({ title, of, part, says, sum }) => {
    const most = Math.max(...hours.map(of), 0), total = hours.reduce((all, hour) => all + of(hour), 0), newest = hours.at(-1);
    const bars = hours.map((hour) => {
      const bar = el("i", { title: hourOf.format(parse(hour.start)) + ": " + says(hour) }), size = most ? 100 * of(hour) / most : 0;
      bar.style.height = (of(hour) ? Math.max(4, size) : 0).toFixed(1) + "%";
      if (part?.(hour)) {
        const failed = el("b");
        failed.style.height = (100 * part(hour) / of(hour)).toFixed(1) + "%";
        bar.append(failed);
      }
      return bar;
    });
    const plot = el("div", { class: "plot", role: "img", "aria-label": title + " by hour: " + sum(total, hours) + " in all, " + (newest ? says(newest) : "none") + " in this hour" }, ...bars);
    return el("figure", {}, el("figcaption", {}, el("span", {}, title), el("strong", {}, sum(total, hours)), el("span", { class: "quiet" }, newest ? says(newest) + " this hour" : "")), plot,
      el("div", { class: "hours", "aria-hidden": "true" }, el("span", {}, isNaN(first) ? "" : hourOf.format(first)), el("span", {}, "now")));
  }));
}
