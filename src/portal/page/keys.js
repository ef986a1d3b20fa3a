// Keys: / to search, j and k to move in the list, ? for help

const TYPED = "input, textarea, select, [contenteditable]";
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (document.querySelector("dialog[open]") || event.target.closest?.(TYPED)) return;
  if (event.key === "/") {
    event.preventDefault();
    document.body.dataset.pane = "list";
    $("search").select();
    $("search").focus();
  } else if (event.key === "j" || event.key === "k") {
    move(event.key === "j" ? 1 : -1);
  } else if (event.key === "?") {
    $("help").showModal();
  }
});
// Moves the focus within the list, and to the shown workflow if it is elsewhere.
function move(by) {
  const links = [...document.querySelectorAll("#list li:not([hidden]) a, #found a")];
  if (links.length === 0) return;
  document.body.dataset.pane = wide.matches ? document.body.dataset.pane : "list";
  const at = links.indexOf(document.activeElement);
  const to = at >= 0 ? Math.max(0, Math.min(links.length - 1, at + by)) : Math.max(0, links.findIndex((link) => link.hasAttribute("aria-current")));
  if (at >= 0 && $("list").contains(links[at])) links[at].setAttribute("tabindex", "-1");
  links[to].setAttribute("tabindex", "0");
  links[to].focus();
}
$("help-close").addEventListener("click", () => $("help").close());
