// Requests

let token = sessionStorage.getItem("token");
class Refused extends Error { constructor(status) { super("HTTP " + status); this.status = status; } }
async function request(path, options = {}) {
  const headers = token ? { authorization: "Bearer " + token } : {};
  const response = await fetch(base + path, { ...options, headers, credentials: "same-origin" });
  if (response.status === 401) {
    await askForToken();
    return request(path, options);
  }
  if (!response.ok) throw new Refused(response.status);
  setClock(response);
  return response;
}
let asked = null;
function askForToken() {
  asked ??= new Promise((resolve) => {
    $("wrong").hidden = !token;
    $("door").showModal();
    $("token").select();
    $("door-form").onsubmit = (event) => {
      event.preventDefault();
      token = $("token").value.trim();
      sessionStorage.setItem("token", token);
      $("door").close();
      asked = null;
      resolve();
    };
  });
  return asked;
}
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
