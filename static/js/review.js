// The review page: keys, swipes, zoom, images loaded ahead, and what a screen reader is told.
// Decisions themselves are plain forms that htmx posts; without this file they still work.

const HEARTBEAT_MS = 60_000;
const FIRST_HEARTBEAT_MS = 1_500;
const SWIPE_SHARE = 0.22; // of the stage's width
const keys = JSON.parse(document.getElementById("review-keys").textContent);
const help = document.getElementById("review-help");
const status = document.getElementById("review-status");

const theCard = () => document.getElementById("review-card");
const find = (selector) => theCard()?.querySelector(selector);
const reasons = () => find("[data-reasons]");

// --- Sending: one decision at a time, and none for an image that was not seen ----------

let isSending = false;
let lastSubmit = null;

function submit(form, submitter) {
  if (isSending || !form) return;
  if (submitter) submitter.click(); // htmx sends a button's value only after a click on it
  else form.requestSubmit();
}

document.addEventListener(
  "submit",
  (event) => {
    const form = event.target.closest("[data-form]");
    if (!form) return;
    if (isSending) {
      event.preventDefault();
      event.stopImmediatePropagation();
      return;
    }
    isSending = true;
    lastSubmit = { form, submitter: event.submitter };
    for (const input of document.querySelectorAll("[data-seconds]")) input.value = secondsSpent();
    const verdict = event.submitter?.dataset.action ?? form.dataset.form;
    theCard().dataset.sending = verdict;
    event.submitter?.classList.add("is-pressed");
    const problem = find("[data-problem]");
    if (problem) problem.hidden = true;
  },
  true,
);

document.addEventListener("htmx:afterRequest", (event) => {
  if (!event.target.closest?.("[data-form]")) return;
  isSending = false;
  if (!event.detail.successful) showProblem();
});
for (const name of ["htmx:sendError", "htmx:timeout"]) {
  document.addEventListener(name, (event) => {
    if (!event.target.closest?.("[data-form]")) return;
    isSending = false;
    showProblem();
  });
}

function showProblem() {
  const card = theCard();
  delete card.dataset.sending;
  for (const button of card.querySelectorAll(".is-pressed")) button.classList.remove("is-pressed");
  settleImage();
  const problem = find("[data-problem]");
  if (problem) problem.hidden = false;
}

function sendAgain() {
  if (!lastSubmit?.form.isConnected) return;
  const submitter = lastSubmit.submitter?.isConnected ? lastSubmit.submitter : null;
  submit(lastSubmit.form, submitter);
}

// --- The time spent on a card, without the time that the page lay hidden ---------------

let spentMs = 0;
let shownAt = null;

function startClock() {
  spentMs = 0;
  shownAt = document.hidden ? null : performance.now();
}
function secondsSpent() {
  const running = shownAt === null ? 0 : performance.now() - shownAt;
  return ((spentMs + running) / 1000).toFixed(2);
}

// --- Images loaded and decoded ahead: the next one is painted as soon as the answer is in ---

let ahead = new Map();

function loadAhead() {
  const wanted = (theCard()?.dataset.upcoming ?? "").split(" ").filter(Boolean);
  const kept = new Map();
  for (const url of wanted) {
    let image = ahead.get(url);
    if (!image) {
      image = new Image();
      image.src = url;
      image.decode().catch(() => {}); // the card itself says when its image does not load
    }
    kept.set(url, image);
  }
  const current = find("[data-image]")?.getAttribute("src");
  if (current && ahead.has(current)) kept.set(current, ahead.get(current));
  ahead = kept;
}

// --- A card arrives ---------------------------------------------------------------------

let lastAnnounced = "";

function cardArrived({ isFirst = false } = {}) {
  const card = theCard();
  isSending = false;
  startClock();
  loadAhead();
  watchImage();
  bindStage();
  applyGuideline();
  if (isFirst) return;
  countAlong(card);
  const announcement = card.dataset.announce ?? "";
  if (announcement !== lastAnnounced || card.dataset.said) status.textContent = announcement;
  lastAnnounced = announcement;
  if (!document.activeElement || document.activeElement === document.body) {
    card.focus({ preventScroll: true });
  }
}

// The forms ask htmx to settle at once: until then a card has the attributes of the one before,
// and its forms would send themselves without htmx.
document.addEventListener("htmx:afterSettle", (event) => {
  if (event.target.id === "review-card") cardArrived();
});

// Done and left are counted along here; each heartbeat brings the server's numbers.
function countAlong(card) {
  const done = document.querySelector("[data-count=done]");
  const left = document.querySelector("[data-count=left]");
  const isExact = document.getElementById("review-progress")?.dataset.leftExact === "yes";
  const { said, undone } = card.dataset;
  const step = said ? 1 : undone ? -1 : 0;
  if (!step) return;
  if ((said || undone) !== "skip") done.textContent = Math.max(0, Number(done.textContent) + step);
  if (isExact) left.textContent = Math.max(0, parseInt(left.textContent, 10) - step);
}

function watchImage() {
  const image = find("[data-image]");
  if (!image) return;
  const showBroken = () => {
    find("[data-broken]").hidden = false;
    image.hidden = true;
  };
  if (image.complete && !image.naturalWidth) showBroken();
  else image.addEventListener("error", showBroken, { once: true });
}

// --- The guideline stays as the reviewer left it -----------------------------------------

function applyGuideline() {
  const guideline = find("[data-guideline]");
  if (!guideline) return;
  guideline.open = readChoice("guideline") !== "closed";
  guideline.addEventListener("toggle", () => {
    writeChoice("guideline", guideline.open ? "open" : "closed");
  });
}
function readChoice(name) {
  try {
    return localStorage.getItem(`review-${name}`);
  } catch {
    return null; // storage is off: each card begins with the guideline open
  }
}
function writeChoice(name, value) {
  try {
    localStorage.setItem(`review-${name}`, value);
  } catch {
    // the same
  }
}

// --- Zoom: full size of the pixels, or twice the fitted size where that is larger ---------

function zoom(at = null) {
  const stage = find("[data-stage]");
  const image = find("[data-image]");
  if (!stage || !image?.naturalWidth) return;
  const isZoomed = !stage.classList.contains("is-zoomed");
  find("[data-do=zoom]").setAttribute("aria-pressed", String(isZoomed));
  if (!isZoomed) {
    stage.classList.remove("is-zoomed");
    image.style.width = "";
    return;
  }
  const frame = stage.getBoundingClientRect();
  const fit = Math.min(frame.width / image.naturalWidth, frame.height / image.naturalHeight);
  const width = Math.max(image.naturalWidth, 2 * fit * image.naturalWidth);
  const share = at
    ? { x: (at.clientX - frame.left) / frame.width, y: (at.clientY - frame.top) / frame.height }
    : { x: 0.5, y: 0.5 };
  stage.classList.add("is-zoomed");
  image.style.width = `${width}px`;
  const height = width * (image.naturalHeight / image.naturalWidth);
  stage.scrollLeft = width * share.x - frame.width / 2;
  stage.scrollTop = height * share.y - frame.height / 2;
}

// --- Pointer: swipe to decide, tap or click to zoom, drag to move the zoomed image --------

function bindStage() {
  const stage = find("[data-stage]");
  if (!stage) return;
  let start = null;
  stage.addEventListener("pointerdown", (event) => {
    if (!event.isPrimary || event.button !== 0 || event.target.closest("button, a")) return;
    start = { x: event.clientX, y: event.clientY, left: stage.scrollLeft, top: stage.scrollTop };
  });
  stage.addEventListener("pointermove", (event) => {
    if (!start || !event.isPrimary) return;
    const dx = event.clientX - start.x;
    if (stage.classList.contains("is-zoomed")) {
      if (event.pointerType !== "mouse") return; // a finger scrolls by itself
      stage.scrollLeft = start.left - dx;
      stage.scrollTop = start.top - (event.clientY - start.y);
    } else if (event.pointerType === "touch" && !isSending) {
      moveImage(stage, dx);
    }
  });
  stage.addEventListener("pointerup", (event) => {
    if (!start || !event.isPrimary) return;
    const dx = event.clientX - start.x;
    const dy = event.clientY - start.y;
    const isZoomed = stage.classList.contains("is-zoomed");
    start = null;
    if (Math.hypot(dx, dy) < 8) {
      settleImage();
      zoom(event);
    } else if (event.pointerType === "touch" && !isZoomed) {
      endSwipe(stage, dx, dy);
    }
  });
  stage.addEventListener("pointercancel", () => {
    start = null;
    settleImage();
  });
}

function moveImage(stage, dx) {
  const share = Math.max(-1, Math.min(1, dx / (stage.clientWidth * SWIPE_SHARE)));
  find("[data-image]").style.transform = `translateX(${dx}px) rotate(${share * 2}deg)`;
  stage.dataset.swipe = dx > 0 ? "approve" : "reject";
  stage.style.setProperty("--swipe", Math.abs(share).toFixed(2));
}

function endSwipe(stage, dx, dy) {
  const isMeant = Math.abs(dx) >= stage.clientWidth * SWIPE_SHARE && Math.abs(dx) > Math.abs(dy);
  if (!isMeant) settleImage();
  else if (dx > 0) actions.approve();
  else rejectNow();
}

function settleImage() {
  const stage = find("[data-stage]");
  if (!stage) return;
  delete stage.dataset.swipe;
  find("[data-image]").style.transform = "";
}

// --- What keys and buttons do ---------------------------------------------------------------

function rejectNow() {
  const form = find("[data-form=reject]");
  submit(form, form?.querySelector("[data-action=reject]"));
}

function rejectFor(reason) {
  const box = find(`[data-reason="${reason}"]`);
  if (!box || isSending) return;
  box.checked = true;
  rejectNow();
}

function closeOne() {
  if (help.open) help.close();
  else if (reasons()?.open) closeReasons();
  else if (find(".is-zoomed")) zoom();
}

function closeReasons() {
  reasons().open = false;
  for (const box of reasons().querySelectorAll("input[type=checkbox]")) box.checked = false;
  theCard().focus({ preventScroll: true });
}

const press = (action) => {
  const button = find(`[data-action=${action}]`);
  submit(button?.form, button);
};
const actions = {
  approve: () => press("approve"),
  skip: () => press("skip"),
  undo: () => press("undo"),
  reject: () => {
    const panel = reasons();
    if (!panel) return;
    if (panel.open) rejectNow();
    else panel.open = true;
  },
  reason: (key) => reasons()?.open && rejectFor(key),
  confirm: () => reasons()?.open && rejectNow(),
  zoom: () => zoom(),
  guideline: () => {
    const guideline = find("[data-guideline]");
    if (guideline) guideline.open = !guideline.open;
  },
  help: () => (help.open ? help.close() : help.showModal()),
  close: closeOne,
  again: sendAgain,
};

// The letter on the key; where the layout is not Latin, the letter that a Latin one has there.
function keyOf(event) {
  const key = event.key.toLowerCase();
  if (key.length === 1 && key > "\u007f" && /^Key[A-Z]$/.test(event.code)) {
    return event.code.slice(3).toLowerCase();
  }
  return key;
}

function belongsToElement(event, key) {
  const target = event.target;
  if (key === "escape") return false;
  if (target.closest("input[type=text], textarea, select")) return key !== "enter";
  const isPressable = target.closest("button, a, summary, input");
  return Boolean(isPressable) && (key === " " || key === "enter");
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const key = keyOf(event);
  const action = Object.hasOwn(keys, key) ? keys[key] : null;
  if (!action || belongsToElement(event, key)) return;
  if (help.open && action !== "help" && action !== "close") return;
  if (action === "confirm" && !reasons()?.open) return;
  event.preventDefault(); // space must not scroll, backspace must not go back
  if (!event.repeat) actions[action](key);
});

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-do]");
  if (button) actions[button.dataset.do]();
  // After a click with the mouse the keys belong to the page again, not to the button; but only
  // after the form was sent: htmx forgets the button that loses the focus.
  const pressed = event.target.closest("button, summary");
  if (event.detail > 0 && pressed) setTimeout(() => pressed.blur());
  const panel = reasons();
  if (panel?.open && !panel.contains(event.target)) closeReasons();
  if (event.target === help) help.close();
});

// A reason chosen with the pointer rejects at once; with Shift, or by Tab and Space, it adds.
let choosesAtOnce = false;
document.addEventListener("pointerdown", (event) => (choosesAtOnce = !event.shiftKey), true);
document.addEventListener("keydown", () => (choosesAtOnce = false), true);
document.addEventListener("change", (event) => {
  if (choosesAtOnce && event.target.dataset.reason && event.target.checked) rejectNow();
});

// --- The lease: kept while the page is seen, given back when it is left ----------------------

function lease() {
  const form = new FormData();
  form.set("csrfmiddlewaretoken", find("[name=csrfmiddlewaretoken]")?.value ?? "");
  form.set("token", theCard().dataset.token);
  return form;
}

async function beat() {
  const card = theCard();
  if (document.hidden || isSending || !card?.dataset.token) return;
  const { token } = card.dataset;
  try {
    const answer = await fetch(card.dataset.heartbeat, { method: "POST", body: lease() });
    if (isSending || theCard()?.dataset.token !== token) return; // a decision was faster
    if (answer.status === 204) newCard("?late=1");
    else if (answer.ok && !answer.redirected) showProgress(await answer.text());
  } catch {
    // No network just now: the next heartbeat tries again, and a decision says so itself.
  }
}

function showProgress(html) {
  const fresh = new DOMParser().parseFromString(html, "text/html").getElementById("review-progress");
  if (fresh) document.getElementById("review-progress").replaceWith(fresh);
}

function newCard(query = "") {
  const url = `${theCard().dataset.card}${query}`;
  window.htmx.ajax("GET", url, { target: "#review-card", swap: "outerHTML settle:0ms" });
}

setInterval(beat, HEARTBEAT_MS);
setTimeout(beat, FIRST_HEARTBEAT_MS);
document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    if (shownAt !== null) spentMs += performance.now() - shownAt;
    shownAt = null;
  } else {
    shownAt = performance.now();
    beat();
  }
});
window.addEventListener("pagehide", () => {
  const card = theCard();
  if (card?.dataset.token) navigator.sendBeacon(card.dataset.leave, lease());
});
window.addEventListener("pageshow", (event) => {
  if (event.persisted) newCard(); // the browser kept the page; its card was given back
});

cardArrived({ isFirst: true });
document.body.classList.add("has-script");
