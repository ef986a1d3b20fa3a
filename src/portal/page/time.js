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
