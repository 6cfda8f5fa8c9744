// The list of captions: keys, ranges, and what a screen reader is told. The buttons themselves
// are plain forms that htmx posts; without this file they still work.

const help = document.getElementById("prompt-help");
const keys = new Map(); // key → action: the table of the help says them
for (const row of help.querySelectorAll("[data-keys]")) {
  for (const key of row.dataset.keys.split("|")) keys.set(key, row.dataset.action);
}
const status = document.getElementById("prompt-status");

const theList = () => document.getElementById("prompt-list");
const boxes = () => [...theList().querySelectorAll("input[name=prompt]")];
const rows = () => [...theList().querySelectorAll(".prompt")];
const current = () => document.activeElement?.closest?.("#prompt-list .prompt");

for (const button of document.querySelectorAll("[data-do=help]")) button.hidden = false;

function say(text) {
  status.textContent = "";
  status.textContent = text;
}

// --- Moving: the checkbox of a caption has the focus ---------------------------------------

function focusRow(row) {
  const target = row?.querySelector("input[name=prompt], textarea, a, button");
  if (!target) return;
  target.focus();
  row.scrollIntoView({ block: "nearest" });
}

function move(step) {
  const all = rows();
  const at = all.indexOf(current());
  const next = at < 0 ? all[0] : all[at + step];
  if (next) focusRow(next);
  else say(step > 0 ? "This is the last caption of the page." : "This is the first caption.");
  return next;
}

// --- Selecting -----------------------------------------------------------------------------

let lastBox = null; // where a range begins

function tick(box, checked) {
  if (!box || box.checked === checked) return;
  box.checked = checked;
  box.dispatchEvent(new Event("change", { bubbles: true }));
}

function tickBetween(one, other, checked) {
  const all = boxes();
  const [from, to] = [all.indexOf(one), all.indexOf(other)].sort((a, b) => a - b);
  if (from < 0) return;
  for (const box of all.slice(from, to + 1)) tick(box, checked);
}

function saySelected() {
  const count = boxes().filter((box) => box.checked).length;
  say(count ? `${count} selected` : "Nothing is selected");
}

document.addEventListener("click", (event) => {
  const box = event.target.closest("#prompt-list input[name=prompt]");
  if (!box) return;
  if (event.shiftKey && lastBox?.isConnected) {
    tickBetween(lastBox, box, box.checked);
    saySelected();
  }
  lastBox = box;
});

function extend(step) {
  const box = current()?.querySelector("input[name=prompt]");
  if (box) tick(box, true);
  tick(move(step)?.querySelector("input[name=prompt]"), true);
  saySelected();
}

// --- Deciding ------------------------------------------------------------------------------

let follow = null; // the row to go to once the answer is there
let manyAt = null; // the place in the list where the focus was when many were sent

function decide(what) {
  const many = boxes().some((box) => box.checked);
  if (many) {
    const button = theList().querySelector(`[data-many=${what}]`);
    manyAt = rows().indexOf(current());
    button?.click();
    return;
  }
  const row = current();
  if (!row) {
    say("Go to a caption first: j for the next one.");
    return;
  }
  const button = row.querySelector(`[data-one=${what}]`);
  if (!button) {
    say(`It is ${row.dataset.state} already.`);
    move(1);
    return;
  }
  const all = rows();
  const next = all[all.indexOf(row) + 1] ?? row;
  follow = { from: row.id, to: next.id };
  button.click();
}

document.addEventListener("htmx:afterSettle", (event) => {
  const settled = event.detail.elt;
  if (settled.id === "prompt-list" && manyAt !== null) {
    focusRow(rows()[Math.min(Math.max(manyAt, 0), rows().length - 1)]);
    manyAt = null;
  }
  if (!settled.classList?.contains("prompt")) return;
  const field = settled.querySelector("textarea");
  if (field) {
    field.focus();
    field.setSelectionRange(field.value.length, field.value.length);
    return;
  }
  if (settled.dataset.state) say(`${settled.dataset.state}: ${settled.dataset.text}`);
  const to = follow?.from === settled.id ? follow.to : settled.id;
  follow = null;
  focusRow(document.getElementById(to));
});

// --- Keys ----------------------------------------------------------------------------------

const actions = {
  next: () => move(1),
  previous: () => move(-1),
  keep: () => decide("keep"),
  drop: () => decide("drop"),
  edit: () => current()?.querySelector("[data-one=edit]")?.click(),
  select: () => {
    const box = current()?.querySelector("input[name=prompt]");
    if (!box) return;
    tick(box, !box.checked);
    lastBox = box;
    saySelected();
  },
  "extend-next": () => extend(1),
  "extend-previous": () => extend(-1),
  all: () => {
    const all = boxes();
    const checked = !all.every((box) => box.checked);
    for (const box of all) tick(box, checked);
    saySelected();
  },
  help: () => (help.open ? help.close() : help.showModal()),
  close: () => {
    if (help.open) help.close();
    else if (boxes().some((box) => box.checked)) {
      for (const box of boxes()) tick(box, false);
      saySelected();
    }
  },
};
// These work wherever the focus is; the others only on a caption, so that no key surprises.
const anywhere = new Set(["help", "close"]);

function isTyping(target) {
  return target.closest("textarea, select, input:not([type=checkbox], [type=radio])") !== null;
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const field = event.target.closest?.(".prompt textarea");
  if (field && (event.key === "Enter" || event.key === "Escape")) {
    event.preventDefault();
    if (event.key === "Enter") field.form.requestSubmit();
    else field.form.querySelector("a[hx-get]").click();
    return;
  }
  if (isTyping(event.target)) return;
  const key = (event.shiftKey ? "shift+" : "") + event.key.toLowerCase();
  const action = keys.get(key);
  const isLetter = event.key.length === 1 && event.key !== " ";
  if (!action || (help.open && action !== "help")) return;
  const enters = action === "next" && isLetter; // j comes into the list from anywhere
  if (!current() && !anywhere.has(action) && !enters) return;
  if (event.key === " " && event.target.closest("button, a")) return; // it presses the button
  event.preventDefault();
  actions[action]();
});

document.addEventListener("click", (event) => {
  const what = event.target.closest("[data-do]")?.dataset.do;
  if (what) actions[what]();
});
