"use strict";
// The page's helpers, times, connection state and requests.
//
// Values from the store are only ever set as `textContent` or as attributes, never as markup.

const base = location.pathname.replace(/\/?$/, "/") + "api/workflow/";
const $ = (id) => document.getElementById(id);
const LIST_EVERY = 3000;   // ms between two requests for the list
const LIST_AT_REST = 12000; // the same, while the overview shows that nothing begins or ends
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

// Updates a parent's children by key: adds new nodes, removes old ones, and moves only those
// that are out of place.
function keyed(parent, nodes, keys, make) {
  for (const [key, node] of nodes) {
    if (!keys.includes(key)) { node.remove(); nodes.delete(key); }
  }
  keys.forEach((key, place) => {
    if (!nodes.has(key)) nodes.set(key, make(key));
    const node = nodes.get(key);
    if (parent.children[place] !== node) parent.insertBefore(node, parent.children[place] ?? null);
  });
}
