// One image at a time: zoom, wipe, ticks, reasons, swipes, and what each key and button does.

import { bindKeys, toggleHelp } from "./keys.js";
import { Table, tokensOf } from "./table.js";

const MOST_AHEAD = 12;
const BESIDE_AFTER_MS = 400;
const SWIPE_SHARE = 0.22; // of the stage's width
const PAN_SHARE = 0.2;
const root = document.getElementById("review");
const help = document.getElementById("review-help");

let table = null;
let besideTimer = 0;
const find = (selector) => root.querySelector(`.review-card ${selector}`);

// --- An answer --------------------------------------------------------------------------------

function decide(verdict) {
  const form = document.getElementById("review-form");
  const card = table.current;
  if (!form || !tokensOf(card).length) return;
  const fields = [...new FormData(form)].filter(([name]) => name !== "csrfmiddlewaretoken");
  fields.push(["verdict", verdict], ["seconds", table.seconds()]);
  const { token, name, thumb, page } = card.dataset;
  table.answer({ url: root.dataset.decide, fields, said: [[token, verdict, { name, thumb, page }]] });
}

function rejectFor(key, event) {
  const box = find(`[data-reason="${key}"]`);
  if (!box) table.tell(`No reason of this kind of image is on ${key}.`);
  else if (event.shiftKey) box.checked = !box.checked;
  else {
    box.checked = true;
    decide("reject");
  }
}

function tick(key) {
  const box = find(`[data-tick="${key}"]`);
  if (box) box.checked = !box.checked;
}

// A reason chosen with the pointer rejects at once; with Shift, or by Tab and Space, it adds.
let choosesAtOnce = false;
document.addEventListener("pointerdown", (event) => (choosesAtOnce = !event.shiftKey), true);
document.addEventListener("keydown", () => (choosesAtOnce = false), true);
document.addEventListener("change", (event) => {
  if (choosesAtOnce && event.target.dataset.reason && event.target.checked) decide("reject");
});
document.addEventListener("submit", (event) => {
  if (event.target.dataset.form !== "decide") return;
  event.preventDefault();
  // Enter in the note has no button of its own: it rejects, as the note says what is wrong.
  decide(event.submitter?.value ?? "reject");
});

// --- A card comes into sight --------------------------------------------------------------------

function shown(card) {
  clearTimeout(besideTimer);
  watchImage(card);
  const guideline = card.querySelector("[data-guideline]");
  if (guideline) guideline.open = read("guideline") !== "closed";
  if (card.dataset.beside && !card.querySelector("[data-beside-place]").childElementCount) {
    besideTimer = setTimeout(() => showBeside(card), BESIDE_AFTER_MS);
  }
}

function watchImage(card) {
  const image = card.querySelector("[data-image]");
  if (!image) return;
  const showBroken = () => {
    card.querySelector("[data-broken]").hidden = false;
    image.hidden = true;
  };
  if (image.complete && !image.naturalWidth) showBroken();
  else image.addEventListener("error", showBroken, { once: true });
}

// Siblings and examples: for who looks longer, asked for only then.
async function showBeside(card) {
  try {
    const answer = await fetch(card.dataset.beside);
    if (answer.ok && !answer.redirected) {
      const parsed = new DOMParser().parseFromString(await answer.text(), "text/html");
      card.querySelector("[data-beside-place]").replaceChildren(...parsed.body.children);
    }
  } catch {
    // No network: the card is complete without it.
  }
}

function read(name) {
  try {
    return localStorage.getItem(`review-${name}`);
  } catch {
    return null; // storage is off: each card begins as it comes
  }
}
function write(name, value) {
  try {
    localStorage.setItem(`review-${name}`, value);
  } catch {
    // the same
  }
}

function toggleGuideline() {
  const guideline = find("[data-guideline]");
  if (!guideline) return;
  guideline.open = !guideline.open;
  write("guideline", guideline.open ? "open" : "closed");
}

// --- Zoom: the image's own pixels, or twice the fitted size where that is larger -----------------

function zoom(at = null) {
  const stage = find("[data-stage]");
  const image = find("[data-image]");
  if (!image?.naturalWidth) return;
  const isZoomed = !stage.classList.contains("is-zoomed");
  const frame = find("[data-frame]");
  const button = find("[data-do=zoom]");
  button.setAttribute("aria-pressed", String(isZoomed));
  stage.classList.toggle("is-zoomed", isZoomed);
  if (!isZoomed) {
    frame.style.width = frame.style.height = "";
    find("[data-zoom-share]").textContent = "Zoom";
    return;
  }
  const box = stage.getBoundingClientRect();
  const fit = Math.min(box.width / image.naturalWidth, box.height / image.naturalHeight);
  const scale = Math.max(1, 2 * fit);
  frame.style.width = `${image.naturalWidth * scale}px`;
  frame.style.height = `${image.naturalHeight * scale}px`;
  find("[data-zoom-share]").textContent = `${Math.round(100 * scale)} %`;
  const share = at
    ? { x: (at.clientX - box.left) / box.width, y: (at.clientY - box.top) / box.height }
    : { x: 0.5, y: 0.5 };
  frame.parentElement.scrollLeft = image.naturalWidth * scale * share.x - box.width / 2;
  frame.parentElement.scrollTop = image.naturalHeight * scale * share.y - box.height / 2;
}

const PAN = { arrowleft: [-1, 0], arrowright: [1, 0], arrowup: [0, -1], arrowdown: [0, 1] };
// While zoomed the arrows move the image, whatever else they do.
document.addEventListener(
  "keydown",
  (event) => {
    const by = PAN[event.key.toLowerCase()];
    const stage = find("[data-stage].is-zoomed");
    if (!by || !stage || event.target.closest("input")) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    stage.scrollBy(by[0] * PAN_SHARE * stage.clientWidth, by[1] * PAN_SHARE * stage.clientHeight);
  },
  true,
);

// --- The source laid over the image --------------------------------------------------------------

// Each press goes on: half of the first source, all of it, the same of the next, and away.
function wipe() {
  const overlays = [...root.querySelectorAll(".review-card [data-overlay]")];
  if (!overlays.length) return;
  const range = find("[data-wipe-range]");
  const at = overlays.findIndex((overlay) => !overlay.hidden);
  const isHalf = at >= 0 && Number(range.value) < 100;
  const next = isHalf ? at : at + 1;
  overlays.forEach((overlay, number) => (overlay.hidden = number !== next));
  range.value = isHalf ? 100 : 50;
  const isOn = next < overlays.length;
  find("[data-wipe]").hidden = !isOn;
  find("[data-do=source]").setAttribute("aria-pressed", String(isOn));
  moveWipe();
}

function moveWipe() {
  find("[data-frame]").style.setProperty("--wipe", `${100 - find("[data-wipe-range]").value}%`);
}
document.addEventListener("input", (event) => {
  if ("wipeRange" in event.target.dataset) moveWipe();
});

// --- Pointer: swipe to decide, tap or click to zoom, drag to move the zoomed image ----------------

let start = null;
const inStage = (event) => event.target.closest?.("[data-stage]");

root.addEventListener("pointerdown", (event) => {
  const stage = inStage(event);
  if (!stage || !event.isPrimary || event.button !== 0) return;
  if (event.target.closest("button, a, input, .review-sources")) return;
  start = { x: event.clientX, y: event.clientY, left: stage.scrollLeft, top: stage.scrollTop, stage };
});
root.addEventListener("pointermove", (event) => {
  if (!start || !event.isPrimary) return;
  const { stage } = start;
  const dx = event.clientX - start.x;
  if (stage.classList.contains("is-zoomed")) {
    if (event.pointerType !== "mouse") return; // a finger scrolls by itself
    stage.scrollLeft = start.left - dx;
    stage.scrollTop = start.top - (event.clientY - start.y);
  } else if (event.pointerType === "touch") {
    moveImage(stage, dx);
  }
});
root.addEventListener("pointerup", (event) => {
  if (!start || !event.isPrimary) return;
  const { stage } = start;
  const dx = event.clientX - start.x;
  const dy = event.clientY - start.y;
  start = null;
  settleImage(stage);
  if (Math.hypot(dx, dy) < 8) zoom(event);
  else if (event.pointerType === "touch" && !stage.classList.contains("is-zoomed")) {
    const isMeant = Math.abs(dx) >= stage.clientWidth * SWIPE_SHARE && Math.abs(dx) > Math.abs(dy);
    if (isMeant) decide(dx > 0 ? "approve" : "reject");
  }
});
root.addEventListener("pointercancel", () => {
  if (start) settleImage(start.stage);
  start = null;
});

function moveImage(stage, dx) {
  const share = Math.max(-1, Math.min(1, dx / (stage.clientWidth * SWIPE_SHARE)));
  find("[data-frame]").style.transform = `translateX(${dx}px) rotate(${share * 2}deg)`;
  stage.dataset.swipe = dx > 0 ? "approve" : "reject";
  stage.style.setProperty("--swipe", Math.abs(share).toFixed(2));
}

function settleImage(stage) {
  delete stage.dataset.swipe;
  stage.querySelector("[data-frame]").style.transform = "";
}

// --- What keys and buttons do -----------------------------------------------------------------------

function close() {
  if (help.open) help.close();
  else if (document.activeElement?.matches("[data-note]")) document.activeElement.blur();
  else if (find(".is-zoomed")) zoom();
  else if (find("[data-overlay]:not([hidden])")) while (find("[data-overlay]:not([hidden])")) wipe();
}

const go = (mode) => () => document.querySelector(`[data-go=${mode}]`).click();
const actions = {
  approve: () => decide("approve"),
  reject: () => decide("reject"),
  unsure: () => decide("unsure"),
  skip: () => decide("skip"),
  undo: () => table.undo(),
  reason: rejectFor,
  tick,
  note: () => find("[data-note]")?.focus(),
  zoom: () => zoom(),
  source: wipe,
  guideline: toggleGuideline,
  grid: go("grid"),
  compare: go("compare"),
  help: toggleHelp,
  close,
};

table = new Table({ most: MOST_AHEAD, onShow: shown });
bindKeys(actions);
