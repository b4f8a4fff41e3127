// The keyboard of the explorer: links do the work, keys only follow or focus them.
"use strict";
const rows = () => [...document.querySelectorAll("a.row")].filter((a) => a.checkVisibility());
const move = (step) => {
  const all = rows();
  const at = all.indexOf(document.activeElement);
  const next = all[at < 0 ? (step > 0 ? 0 : all.length - 1) : at + step];
  if (next) next.focus();
};
const follow = (selector) => document.querySelector(selector)?.click();
const actions = {
  j: () => move(1),
  k: () => move(-1),
  n: () => follow("a[rel=next]"),
  p: () => follow("a[rel=prev]"),
  u: () => follow(".trail a:last-of-type"),
  "/": () => document.getElementById("q")?.focus(),
};
document.addEventListener("keydown", (event) => {
  const typing = event.target.matches("input, select, textarea");
  if (typing && event.key === "Escape") event.target.blur();
  if (typing || event.ctrlKey || event.metaKey || event.altKey || !(event.key in actions)) return;
  event.preventDefault();
  actions[event.key]();
});
