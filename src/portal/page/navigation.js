// Navigation

function route() {
  let sessionId = location.hash.slice(1);
  try { sessionId = decodeURIComponent(sessionId); } catch { /* not encoded: used as is */ }
  following = sessionId === "";
  document.body.dataset.pane = following && pane !== "detail" ? "list" : "detail";
  if (!following) choose(sessionId); else if (order.length > 0) choose(order[0]);
  markChosen();
}
let pane = "list";
addEventListener("hashchange", () => { pane = "list"; route(); });
$("follow").addEventListener("click", (event) => { event.preventDefault(); pane = "detail"; if (location.hash) history.pushState(null, "", location.pathname); route(); });
$("back").addEventListener("click", (event) => { event.preventDefault(); pane = "list"; history.pushState(null, "", location.pathname); route(); });
$("skip").addEventListener("click", (event) => { event.preventDefault(); document.body.dataset.pane = "detail"; $("main").focus(); });
addEventListener("popstate", route);
