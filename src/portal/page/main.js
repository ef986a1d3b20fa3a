// The start

document.addEventListener("visibilitychange", () => { if (!document.hidden && shown) tick(); });

readAddress();
route();
if (!document.hidden) enter();
