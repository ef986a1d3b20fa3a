// Navigation: `#board`, `#newest`, or the session to show

const wide = matchMedia("(min-width: 1000px)");
const NAMED = ["board", "newest"];
// A session may be called as one of the views.
function hashOf(sessionId) {
  const encoded = encodeURIComponent(sessionId);
  return "#" + (NAMED.includes(sessionId) ? "%" + sessionId.charCodeAt(0).toString(16) + encoded.slice(1) : encoded);
}
function route() {
  const hash = location.hash.slice(1);
  let sessionId = hash;
  try { sessionId = decodeURIComponent(hash); } catch { /* not encoded: used as is */ }
  // A wide screen shows the board first.
  view = hash === "board" || (hash === "" && wide.matches) ? "board" : "workflow";
  following = view !== "board" && (hash === "" || hash === "newest");
  document.body.dataset.view = view;
  document.body.dataset.pane = hash === "" && view !== "board" ? "list" : "detail";
  $("workflow").hidden = view === "board" || !shown;
  if (view === "board") {
    overview = null;
    choose(null);
  } else if (!following) choose(sessionId); else if (order.length > 0) choose(order[0]); else choose(null);
  renderBoard();
  markChosen();
}
addEventListener("hashchange", route);
addEventListener("popstate", route);
wide.addEventListener("change", route);
const withoutHash = () => location.pathname + location.search;
$("back").addEventListener("click", (event) => { event.preventDefault(); history.pushState(null, "", withoutHash()); route(); });
$("skip").addEventListener("click", (event) => { event.preventDefault(); document.body.dataset.pane = "detail"; $("main").focus(); });
