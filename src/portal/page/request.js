// Requests

let token = sessionStorage.getItem("token");
class Refused extends Error { constructor(status) { super("HTTP " + status); this.status = status; } }
async function request(path, options = {}) {
  const used = token, headers = used ? { authorization: "Bearer " + used } : {};
  const response = await fetch(base + path, { ...options, headers, credentials: "same-origin" });
  if (response.status === 401) {
    // Another request may have asked meanwhile.
    if (token === used) await askForToken();
    return request(path, options);
  }
  if (!response.ok) throw new Refused(response.status);
  setClock(response);
  return response;
}
let asked = null, rejected = null, takeToken = () => {};
function askForToken() {
  rejected = token;
  asked ??= new Promise((resolve) => {
    takeToken = (given) => {
      token = given;
      sessionStorage.setItem("token", token);
      $("door").close();
      asked = null;
      resolve();
    };
    tokens?.postMessage({ kind: "who" });
    $("wrong").hidden = !token;
    $("door").showModal();
    $("token").select();
    $("door-form").onsubmit = (event) => {
      event.preventDefault();
      takeToken($("token").value.trim());
      tokens?.postMessage({ kind: "token", token });
    };
  });
  return asked;
}
// A tab that needs a token asks the others for theirs, so that it is typed once.
const tokens = "BroadcastChannel" in window ? new BroadcastChannel("agent-status token " + base) : null;
tokens?.addEventListener("message", ({ data }) => {
  if (data.kind === "who" && token && !asked) tokens.postMessage({ kind: "token", token });
  if (data.kind === "token" && asked && data.token !== rejected) takeToken(data.token);
});
$("door").addEventListener("cancel", (event) => event.preventDefault());
// A pause that ends early when it is aborted or the network comes back.
function pause(ms, signal) {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      removeEventListener("online", end);
      signal?.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    addEventListener("online", end);
    signal?.addEventListener("abort", end);
  });
}
