// The start

document.addEventListener("visibilitychange", () => { if (!document.hidden && shown) tick(); });

route();
if (!document.hidden) enter();
