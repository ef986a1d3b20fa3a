// The state of the connection

const links = { list: true, events: true };
let link = "wait", linkSince = Date.now(), problem = "";
function setLink(state) {
  if (state !== link) { link = state; linkSince = now(); }
  showLink();
}
function showLink() {
  const shown = !links.list || !links.events ? "lost" : link;
  attribute($("link"), "data-link", shown);
  const as = lastSeen ? " Last updated at " + clock.format(lastSeen) + "." : "";
  text($("link"), {
    wait: "Connecting…",
    live: "Live",
    idle: "Connected",
    ended: "Finished. No further changes are expected.",
    stale: "The status store is not responding." + as + " Retrying…",
    lost: "Connection lost." + as + " Reconnecting…",
    refused: problem,
  }[shown]);
  // The clocks run only while the connection is live.
  tick();
}
const isLive = () => links.list && links.events && link === "live";
