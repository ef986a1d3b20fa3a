// The event stream of the leading tab

const POLL_EVERY = 2000;    // ms between two polls where a proxy holds the events back
const POLL_FOR = 60000;     // ms until the stream is tried again
const FIRST_BYTE = 5000;    // ms until the first byte of a stream is considered held back
class HeldBack extends Error {}

function union() {
  const all = [...wants.values()];
  return { sessions: new Set(all.flatMap(({ sessions }) => sessions)), overview: all.some(({ overview }) => overview) };
}
function setStream(state) {
  if (read.stream !== state) post({ kind: "stream", state });
}

async function keepStream(signal) {
  let open = null, connection = null, wake = null, again = false, failures = 0, polledUntil = 0, beat = Date.now();
  const reopen = () => { again = true; connection?.abort(); };
  // More is wanted than the stream has, or less: that is not urgent.
  let lessTimer;
  wantsChanged = () => {
    if (!open) return void wake?.();
    const now = union();
    const isMore = now.overview > open.overview || [...now.sessions].some((id) => !open.sessions.has(id));
    const isLess = now.overview < open.overview || [...open.sessions].some((id) => !now.sessions.has(id));
    clearTimeout(lessTimer);
    if (isMore) reopen(); else if (isLess) lessTimer = setTimeout(reopen, 1000);
  };
  // A laptop that has slept may wait long for a connection that is gone.
  const pulse = setInterval(() => {
    if (Date.now() - beat > 15000 && !document.hidden) reopen();
    beat = Date.now();
  }, 5000);
  const stop = () => { connection?.abort(); wake?.(); };
  signal.addEventListener("abort", stop);
  // What the other tabs want is known in a moment.
  await pause(navigator.locks ? 30 : 0, signal);
  try {
    while (!signal.aborted) {
      open = union();
      for (const id of cache.workflows.keys()) if (!open.sessions.has(id)) cache.workflows.delete(id);
      if (!open.overview) cache.overview = null;
      if (open.sessions.size === 0 && !open.overview) {
        open = null;
        await new Promise((resolve) => { wake = resolve; });
        wake = null;
        continue;
      }
      again = false;
      connection = new AbortController();
      try {
        if (Date.now() < polledUntil) await poll(open, connection.signal, polledUntil);
        else await follow(open, connection.signal, () => { failures = 0; });
      } catch (error) {
        if (signal.aborted) return;
        if (again) continue;
        if (error instanceof HeldBack) {
          polledUntil = Date.now() + POLL_FOR;
          continue;
        }
        if (error instanceof Refused && error.status < 500) {
          problem = "The portal refused the request (" + error.message + ").";
          setStream("refused");
          await pause(30000, signal);
          continue;
        }
      }
      if (again) continue;
      if (Date.now() >= polledUntil && read.stream === "polled") continue;
      setStream("lost");
      await pause(Math.min(4000, 250 * 2 ** failures++) * (0.75 + Math.random() / 2), signal);
    }
  } finally {
    clearInterval(pulse);
    clearTimeout(lessTimer);
    signal.removeEventListener("abort", stop);
    wantsChanged = () => {};
  }
}

// Posts a workflow or the overview to the tabs that want it.
function found(kind, json, open) {
  const data = JSON.parse(json);
  if (kind === "workflow") {
    const isFinished = ["completed", "failed"].includes(data.overallStatus);
    // It is read again only if a tab asks for it once more.
    if (isFinished) { open.sessions.delete(data.sessionId); cache.workflows.delete(data.sessionId); } else cache.workflows.set(data.sessionId, data);
  } else if (kind === "overview") {
    cache.overview = data;
  } else if (kind === "refused") {
    open.sessions.delete(data.sessionId);
  } else return;
  post({ kind, data });
}

// Reads events until the stream ends.
async function follow(open, signal, onByte) {
  const connection = new AbortController();
  const stop = () => connection.abort();
  signal.addEventListener("abort", stop);
  let silence, isHeldBack = false;
  const first = () => {
    if ($("door").open) silence = setTimeout(first, FIRST_BYTE); else { isHeldBack = true; stop(); }
  };
  silence = setTimeout(first, FIRST_BYTE);
  try {
    const query = new URLSearchParams([...open.sessions].map((id) => ["session", id]));
    if (open.overview) query.set("overview", "true");
    const response = await request("events?" + query, { signal: connection.signal, cache: "no-store" });
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      clearTimeout(silence);
      isHeldBack = false;
      silence = setTimeout(stop, SILENCE);
      onByte();
      const events = (rest + value).split("\n\n");
      rest = events.pop();
      for (const event of events) {
        if (event.startsWith(":")) {
          setStream(event.includes("stale") ? "stale" : "live");
          continue;
        }
        const lines = event.split("\n"), kind = lines.find((line) => line.startsWith("event: "))?.slice(7);
        const data = lines.filter((line) => line.startsWith("data: ")).map((line) => line.slice(6)).join("\n");
        // An error in rendering must not look like a lost connection.
        try { found(kind, data, open); } catch (error) { reportError(error); }
      }
    }
  } catch (error) {
    throw isHeldBack && !signal.aborted ? new HeldBack() : error;
  } finally {
    clearTimeout(silence);
    connection.abort();
    signal.removeEventListener("abort", stop);
  }
}

// Where a proxy holds events back, asks again and again.
async function poll(open, signal, until) {
  while (Date.now() < until && !signal.aborted) {
    for (const id of [...open.sessions]) found("workflow", await (await request(encodeURIComponent(id) + "/status", { signal, cache: "no-store" })).text(), open);
    if (open.overview) found("overview", await (await request("overview", { signal, cache: "no-store" })).text(), open);
    setStream("polled");
    await pause(POLL_EVERY, signal);
  }
}
