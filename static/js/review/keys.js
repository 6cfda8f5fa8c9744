// Keys: whatever the page's table names, and nothing else. review/keys.py is that table.

const table = JSON.parse(document.getElementById("review-keys").textContent);
const help = document.getElementById("review-help");

export const keyFor = (action) => table.shown[action];

// The names that one press may go by: what it writes, and, where the layout is not Latin or has
// its digits above, the letter or digit that is printed there on most keyboards.
function namesOf(event) {
  const names = [event.key.toLowerCase()];
  const place = /^(?:Key([A-Z])|Digit(\d))$/.exec(event.code);
  if (place && (place[2] || event.key > "\u007f")) names.push((place[1] ?? place[2]).toLowerCase());
  return names;
}

function belongsToElement(target, key) {
  if (key === "escape") return false;
  if (target.closest("input[type=text], textarea, select")) return true;
  if (target.closest("input[type=range]")) return key.startsWith("arrow");
  // A tile is moved to and marked by the page's own keys, as a checkbox is by Space.
  if (target.closest("[data-tile]")) return false;
  return Boolean(target.closest("button, a, summary, input")) && (key === " " || key === "enter");
}

export function toggleHelp() {
  if (help.open) help.close();
  else help.showModal();
}

// actions: name → function(key, event). close() says whether it closed something.
export function bindKeys(actions) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const key = namesOf(event).find((name) => Object.hasOwn(table.actions, name));
    const action = key && table.actions[key];
    if (!action || !actions[action] || belongsToElement(event.target, key)) return;
    if (help.open && action !== "help" && action !== "close") return;
    event.preventDefault(); // space must not scroll, backspace must not go back
    if (!event.repeat || action === "move") actions[action](key, event);
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-do]");
    if (button) actions[button.dataset.do]?.("", event);
    if (event.target === help) help.close();
    // After a click with the mouse the keys belong to the page again, not to the button.
    const pressed = event.target.closest("button, summary");
    if (event.detail > 0 && pressed) pressed.blur();
  });
}

export function labelKeys(within) {
  for (const kbd of within.querySelectorAll("[data-key-of]")) {
    const key = keyFor(kbd.dataset.keyOf);
    kbd.hidden = !key;
    if (!kbd.textContent) kbd.textContent = key ?? "";
  }
}
