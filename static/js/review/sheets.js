// Several images at once: marks, ranges, reasons, a closer look; a grid, or siblings side by side.

import { bindKeys, toggleHelp } from "./keys.js";
import { Table, tokensOf } from "./table.js";

const root = document.getElementById("review");
const help = document.getElementById("review-help");
const look = document.getElementById("review-look");
const isGrid = root.dataset.mode === "grid";
const wish = document.querySelector("[data-wish]");

let table = null;
let lastTile = null; // where a range with Shift begins

const tiles = () => [...root.querySelectorAll(".review-card [data-tile]")];
const boxOf = (tile) => tile.querySelector("[data-mark]");
const tileOf = (target) => target?.closest?.("[data-tile]");
const here = () => tileOf(document.activeElement);

// --- An answer --------------------------------------------------------------------------------

// What the form says of each image, as forms.GridForm and forms.BestForm read it.
function verdictOf(tile, verdict) {
  const isMarked = boxOf(tile).checked;
  if (!isGrid) return verdict === "best" ? (isMarked ? "approve" : "reject") : verdict;
  if (tile.querySelector("[data-unsure]").checked) return "unsure";
  return isMarked === (root.querySelector("[data-marks]").value === "good") ? "approve" : "reject";
}

function send(verdict = "best") {
  const form = document.getElementById("review-form");
  if (!form || !tokensOf(table.current).length) return;
  if (!isGrid && verdict === "best" && !form.elements.best?.value) {
    table.tell("Choose the best one first, or say that none will do.");
    return;
  }
  const fields = [...new FormData(form)].filter(([name]) => name !== "csrfmiddlewaretoken");
  fields.push(["seconds", table.seconds()]);
  if (!isGrid) fields.push(["verdict", verdict]);
  for (const tile of tiles()) {
    if (tile.dataset.reason) fields.push([`reason-${tile.dataset.token}`, tile.dataset.reason]);
  }
  const said = tiles().map((tile) => {
    const { token, name, thumb, page } = tile.dataset;
    return [token, verdictOf(tile, verdict), { name, thumb, page }];
  });
  table.answer({ url: root.dataset.decide, fields, said });
}

document.addEventListener("submit", (event) => {
  const kind = event.target.dataset.form;
  if (kind === "decide") {
    event.preventDefault();
    send(event.submitter?.value || "best");
  } else if (kind === "undo-alone") {
    event.preventDefault();
    undoAlone(event.target);
  }
});

// The last decision is taken back on the page of single images, once all is sent.
async function undoAlone(form) {
  await table.outbox.emptied();
  if (table.outbox.size) table.tell("Your last answers are on their way. They can be undone once the network is back.");
  else form.submit();
}

// --- A sheet comes into sight --------------------------------------------------------------------

function shown(card) {
  lastTile = null;
  const all = [...card.querySelectorAll("[data-tile]")];
  all.forEach((tile, number) => (boxOf(tile).tabIndex = number ? -1 : 0));
  for (const image of card.querySelectorAll("[data-image]")) {
    image.addEventListener("error", () => image.closest("[data-tile]").classList.add("is-broken"), { once: true });
  }
  if (isGrid && card.querySelector("[data-marks]")) turn(card, read("marks") ?? card.querySelector("[data-marks]").value);
  if (document.activeElement === card && all.length) boxOf(all[0]).focus({ preventScroll: true });
  tally(card);
}

function tally(card) {
  const output = document.querySelector("[data-tally]");
  if (!output) return;
  const all = [...card.querySelectorAll("[data-tile]")];
  const marked = all.filter((tile) => boxOf(tile).checked).length;
  const meaning = card.classList.contains("marks-good") ? "right" : "wrong";
  const unsure = card.querySelectorAll("[data-unsure]:checked").length;
  output.textContent = all.length ? `${marked} of ${all.length} marked as ${meaning}${unsure ? `, ${unsure} unsure` : ""}` : "";
}

document.addEventListener("change", (event) => {
  const tile = tileOf(event.target);
  if (tile && !boxOf(tile).checked) setReason(tile, "", "");
  if (tile) tally(table.current);
  if (event.target.closest("[data-wish]")) wish.requestSubmit();
});

// --- What a mark means ------------------------------------------------------------------------------

function turn(card, meaning) {
  card.querySelector("[data-marks]").value = meaning;
  card.classList.toggle("marks-good", meaning === "good");
  card.classList.toggle("marks-wrong", meaning !== "good");
  if (wish) wish.elements.marks.value = meaning;
  tally(card);
}

function reverse() {
  const marks = root.querySelector("[data-marks]");
  if (!marks) return;
  const meaning = marks.value === "good" ? "wrong" : "good";
  try {
    sessionStorage.setItem("review-marks", meaning);
  } catch {
    // storage is off: the next grid begins as the page says
  }
  turn(table.current, meaning);
  table.tell(meaning === "good" ? "All count as wrong now: mark the right ones." : "All count as right now: mark the wrong ones.");
}

function read(name) {
  try {
    return sessionStorage.getItem(`review-${name}`);
  } catch {
    return null;
  }
}

// --- Moving and marking ------------------------------------------------------------------------------

function step(key) {
  const all = tiles();
  const at = all.indexOf(here());
  if (at < 0) return all[0];
  const perRow = all.filter((tile) => tile.offsetTop === all[0].offsetTop).length;
  const by = { arrowleft: -1, arrowright: 1, arrowup: -perRow, arrowdown: perRow }[key];
  return all[at + by] ?? all[at];
}

function move(key, event) {
  const from = here();
  const to = step(key);
  if (!to) return;
  for (const tile of tiles()) boxOf(tile).tabIndex = tile === to ? 0 : -1;
  boxOf(to).focus();
  if (!isGrid) setMark(to, true);
  else if (event.shiftKey) {
    for (const tile of between(from ?? to, to)) setMark(tile, true);
  }
  lastTile = to;
}

function between(one, other) {
  const all = tiles();
  const [first, last] = [all.indexOf(one), all.indexOf(other)].sort((a, b) => a - b);
  return all.slice(first, last + 1);
}

function setMark(tile, isMarked) {
  const box = boxOf(tile);
  if (box.checked === isMarked) return;
  box.checked = isMarked;
  box.dispatchEvent(new Event("change", { bubbles: true }));
}

function mark() {
  const tile = here() ?? tiles()[0];
  if (!tile) return;
  boxOf(tile).focus();
  setMark(tile, !boxOf(tile).checked);
  lastTile = tile;
}

// A click with Shift marks all from the last one to this one, as this one becomes.
root.addEventListener("click", (event) => {
  const tile = tileOf(event.target);
  if (!tile || !event.target.matches("[data-mark]")) return;
  if (event.shiftKey && isGrid && lastTile) {
    for (const other of between(lastTile, tile)) setMark(other, event.target.checked);
  }
  for (const other of tiles()) boxOf(other).tabIndex = other === tile ? 0 : -1;
  lastTile = tile;
});
// Shift with a click would select text otherwise.
root.addEventListener("mousedown", (event) => event.shiftKey && tileOf(event.target) && event.preventDefault());

function setReason(tile, code, label) {
  const place = tile.querySelector("[data-tile-reason]");
  if (!place) return;
  tile.dataset.reason = code;
  place.textContent = label;
}

// The reason makes the image a rejected one, whatever a mark means.
function giveReason(key) {
  const tile = here();
  const option = root.querySelector(`.review-card option[data-reason="${key}"]`);
  if (!tile || !option) return;
  setMark(tile, !table.current.classList.contains("marks-good"));
  tile.querySelector("[data-unsure]").checked = false;
  setReason(tile, option.value, option.textContent.replace(/^\S+ /, ""));
}

function unsure() {
  const box = here()?.querySelector("[data-unsure]");
  if (!box) return;
  box.checked = !box.checked;
  box.dispatchEvent(new Event("change", { bubbles: true }));
}

function choose(key) {
  const tile = tiles()[Number(key) - 1];
  if (!tile) return;
  setMark(tile, true);
  send("best");
}

// --- A closer look -----------------------------------------------------------------------------------

function zoom() {
  if (look.open) {
    look.close();
    return;
  }
  const tile = here() ?? tiles()[0];
  if (!tile) return;
  const image = tile.querySelector("[data-image]");
  const large = look.querySelector("img");
  large.src = image.dataset.large;
  large.alt = boxOf(tile).getAttribute("aria-label");
  look.showModal();
}
look.addEventListener("click", () => look.close());

function close() {
  if (look.open) look.close();
  else if (help.open) help.close();
}

function toggleGuideline() {
  const guideline = root.querySelector(".review-card [data-guideline]");
  if (guideline) guideline.open = !guideline.open;
}

const go = (mode) => () => document.querySelector(`[data-go=${mode}]`).click();
const press = (action) => () => document.querySelector(`[data-action=${action}]`).click();
const actions = {
  move,
  mark,
  submit: () => send(),
  choose,
  reject: press("reject"),
  reason: giveReason,
  unsure,
  skip: press("skip"),
  undo: press("undo"),
  zoom,
  guideline: toggleGuideline,
  reverse,
  grid: go("grid"),
  compare: go("compare"),
  focus: go("focus"),
  help: toggleHelp,
  close,
};

table = new Table({ most: 1, onShow: shown, wish });
bindKeys(actions);
document.querySelector("[data-wish] button")?.setAttribute("hidden", "");
