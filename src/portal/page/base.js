"use strict";
// The page's helpers, times, connection state and requests.
//
// Values from the store are only ever set as `textContent` or as attributes, never as markup.

const base = location.pathname.replace(/\/?$/, "/") + "api/workflow/";
const $ = (id) => document.getElementById(id);
const LIST_EVERY = 3000;   // ms between two requests for the list
const SILENCE = 40000;     // ms without a byte after which a connection is considered dead
const SVG = "http://www.w3.org/2000/svg";

function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}
function icon(state) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  svg.append(document.createElementNS(SVG, "use"));
  draw(svg, state);
  return svg;
}
const ICONS = { loading: "in-progress", initializing: "in-progress", processing: "in-progress", completed: "success", failed: "error" };
// An older writer's word has no icon of its own.
const draw = (svg, state) => attribute(svg.firstChild, "href", "#i-" + (Object.hasOwn(ICONS, state) ? ICONS[state] : $("i-" + state) ? state : "other"));
const text = (node, value) => { if (node.textContent !== value) node.textContent = value; };
const attribute = (node, name, value) => { if (node.getAttribute(name) !== value) node.setAttribute(name, value); };
const shownAs = (value) => (typeof value === "object" && value !== null ? JSON.stringify(value) : String(value ?? ""));
const style = (node, name, value) => { if (node.style.getPropertyValue(name) !== value) node.style.setProperty(name, value); };

// Times. The server's clock is used where it differs from ours by more than the resolution of
// the Date header.

let skew = 0;
const now = () => Date.now() + skew;
function setClock(response) {
  const date = Date.parse(response.headers.get("date"));
  if (date) skew = Math.abs(date - Date.now()) > 2000 ? date + 500 - Date.now() : 0;
}
const parse = (time) => (time ? Date.parse(time) : NaN);
const two = (n) => String(n).padStart(2, "0");
function duration(ms, exact = true) {
  const s = Math.max(0, ms) / 1000;
  if (s < 59.95) return exact ? s.toFixed(1) + " s" : Math.floor(s) + " s";
  const whole = Math.floor(s), m = Math.floor(whole / 60), h = Math.floor(m / 60), d = Math.floor(h / 24);
  if (h < 1) return m + " min " + two(whole % 60) + " s";
  if (d < 1) return h + " h " + two(m % 60) + " min";
  return d + (d === 1 ? " day " : " days ") + (h % 24) + " h";
}
function ago(time) {
  const s = Math.max(0, Math.floor((now() - time) / 1000));
  if (s < 5) return "now";
  if (s < 60) return s - s % 5 + " s ago";
  if (s < 3600) return Math.floor(s / 60) + " min ago";
  if (s < 86400) return Math.floor(s / 3600) + " h ago";
  return Math.floor(s / 86400) + " d ago";
}
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const at = (time) => (Math.abs(now() - time) < 43200000 ? clock : day).format(time);
const number = new Intl.NumberFormat("en");
// A value in large type. The style sheet makes it as small as its tile needs for so many
// characters; short ones are all of one size, so that a clock does not change its size.
function big(id, value) {
  text($(id), value);
  style($(id), "--length", String(Math.max(9, value.length)));
}
const count = (n) => (n === undefined || n === null ? "–" : number.format(n));

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

