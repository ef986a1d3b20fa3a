// The tab's title and icon: what runs, and whether something has failed

const COLORS = { processing: "1d5fd1", completed: "18794a", failed: "bd2c26", stalled: "8f5b00", waiting: "0b6e80" };
const LINES = "%3Cpath d='M6 11h12M6 16h20M6 21h8' stroke='%23fff' stroke-width='3.2' stroke-linecap='round'/%3E";
let iconKey = "";
// An icon with a number or with lines, and with a dot if something has failed
function showIcon(state, running, hasFailed) {
  const shownNumber = running > 99 ? "99" : running > 0 ? String(running) : "";
  const key = [state, shownNumber, hasFailed].join();
  if (key === iconKey) return;
  iconKey = key;
  const figure = shownNumber ? "%3Ctext x='16' y='23' text-anchor='middle' font-family='sans-serif' font-weight='700' font-size='20' fill='%23fff'%3E" + shownNumber + "%3C/text%3E" : LINES;
  const dot = hasFailed ? "%3Ccircle cx='25' cy='7' r='6' fill='%23e5342b' stroke='%23fff' stroke-width='2'/%3E" : "";
  attribute($("icon"), "href", "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E%3Crect width='32' height='32' rx='8' fill='%23" + (COLORS[state] ?? COLORS.processing) + "'/%3E" + figure + dot + "%3C/svg%3E");
}
function titleOfBoard({ counts, problemCount }) {
  const running = counts.initializing + counts.processing, failed = Math.max(0, problemCount - counts.stalled);
  const parts = [count(running) + " running", failed ? count(failed) + " failed" : "", counts.stalled ? count(counts.stalled) + " stalled" : ""];
  document.title = parts.filter(Boolean).join(", ") + " · Agent status";
  showIcon("processing", running, problemCount > 0);
}
function titleOfWorkflow({ sessionId }, overall, done, all) {
  document.title = ({ completed: "✓ ", failed: "✗ ", stalled: "‖ ", waiting: "… ", processing: done + "/" + all + " " }[overall] ?? "") + sessionId + " · Agent status";
  showIcon(overall, 0, overall === "failed" || overall === "stalled");
}
