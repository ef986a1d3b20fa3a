// The state of the connection

let problem = "", lastSeen = null;
function linkState() {
  if (read.list === "lost" || read.stream === "lost") return "lost";
  if (view === "board") return overview ? read.stream : read.stream === "stale" || read.stream === "refused" ? read.stream : "wait";
  if (chosen === null) return read.list === "stale" ? "stale" : "idle";
  if (problem) return "refused";
  if (shown?.finished && !watching) return "ended";
  return shown || read.stream === "stale" ? read.stream : "wait";
}
function showLink() {
  const state = linkState();
  attribute($("link"), "data-link", state);
  const as = lastSeen ? " Last updated at " + clock.format(lastSeen) + "." : "";
  text($("link"), {
    wait: "Connecting…",
    live: "Live",
    polled: "A proxy is buffering the events: polling every 2 s instead.",
    idle: "Connected",
    ended: "Finished. No further changes are expected.",
    stale: "The status store is not responding." + as + " Retrying…",
    lost: "Connection lost." + as + " Reconnecting…",
    refused: problem,
  }[state]);
  // The clocks run only while the connection is live.
  tick();
}
const isLive = () => ["live", "polled"].includes(linkState());
