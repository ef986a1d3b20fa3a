// The start

document.addEventListener("visibilitychange", () => { if (!document.hidden && shown) tick(); });

route();
keepList();
