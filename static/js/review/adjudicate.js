// The adjudicator's page: the keys of one by one, each of which presses what the page has for it.

import { bindKeys, labelKeys, toggleHelp } from "./keys.js";

const help = document.getElementById("review-help");
const look = document.getElementById("review-look");
const form = document.getElementById("adjudicate-form");
const find = (selector) => form?.querySelector(selector);
const say = (verdict) => () => find(`[name=verdict][value=${verdict}]`)?.click();

function rejectFor(key, event) {
  const box = find(`[data-reason="${key}"]`);
  if (!box) return;
  if (event.shiftKey) box.checked = !box.checked;
  else {
    box.checked = true;
    say("reject")();
  }
}

function tick(key) {
  const box = find(`[data-tick="${key}"]`);
  if (box) box.checked = !box.checked;
}

function zoom() {
  const image = document.querySelector("[data-image]");
  if (look.open) look.close();
  else if (image) {
    Object.assign(look.querySelector("img"), { src: image.src, alt: image.alt });
    look.showModal();
  }
}
look.addEventListener("click", () => look.close());

function close() {
  if (look.open) look.close();
  else if (help.open) help.close();
  else document.activeElement?.blur();
}

const actions = {
  approve: say("approve"),
  reject: say("reject"),
  skip: say("skip"),
  reason: rejectFor,
  tick,
  note: () => find("[name=note]")?.focus(),
  undo: () => document.querySelector("[data-action=undo]")?.click(),
  zoom,
  help: toggleHelp,
  close,
};

bindKeys(actions);
labelKeys(document);
for (const one of document.querySelectorAll("[data-do][hidden]")) one.hidden = false;
