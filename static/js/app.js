// What every page may use: menus, the theme, the selection of rows, and the end of a session.

const root = document.documentElement;

// --- Menus: one open at a time, closed by Escape and by a click elsewhere.
document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});

// --- Theme: <button data-theme-choice="light | dark | auto">.
function showTheme() {
  for (const button of document.querySelectorAll("[data-theme-choice]")) {
    const chosen = button.dataset.themeChoice === (root.dataset.theme ?? "auto");
    button.setAttribute("aria-pressed", String(chosen));
  }
}
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-theme-choice]");
  if (!button) return;
  const theme = button.dataset.themeChoice;
  try {
    if (theme === "auto") localStorage.removeItem("theme");
    else localStorage.setItem("theme", theme);
  } catch {
    // Storage is off: the choice holds for this page.
  }
  if (theme === "auto") delete root.dataset.theme;
  else root.dataset.theme = theme;
  showTheme();
});
showTheme();

// --- Messages: <button data-dismiss> takes its message away.
document.addEventListener("click", (event) => {
  event.target.closest("[data-dismiss]")?.closest(".message")?.remove();
});

// --- Selection: <input data-select-all="name"> ticks every box of that name in its form;
// <output data-selected-count> of the form says how many are ticked.
function showSelection(form) {
  const fields = [...form.elements];
  const master = fields.find((field) => field.dataset.selectAll);
  if (!master) return;
  const boxes = fields.filter((field) => field.name === master.dataset.selectAll);
  const ticked = boxes.filter((box) => box.checked).length;
  master.closest("[hidden]")?.removeAttribute("hidden");
  master.checked = ticked > 0 && ticked === boxes.length;
  master.indeterminate = ticked > 0 && ticked < boxes.length;
  for (const output of fields.filter((field) => "selectedCount" in field.dataset)) {
    output.textContent = ticked ? `${ticked} selected` : "";
  }
}
document.addEventListener("change", (event) => {
  const box = event.target;
  if (box.type !== "checkbox" || !box.form) return;
  if (box.dataset.selectAll) {
    for (const other of box.form.elements) {
      if (other.name === box.dataset.selectAll) other.checked = box.checked;
    }
  }
  showSelection(box.form);
});
function showSelections() {
  for (const master of document.querySelectorAll("[data-select-all]")) showSelection(master.form);
}
document.addEventListener("htmx:afterSettle", showSelections);
showSelections();

// --- Long work: a form with a <p data-wait hidden> shows it once it is sent, and is not sent twice.
function setWaiting(form, isWaiting) {
  const note = form.querySelector("[data-wait]");
  if (!note) return;
  form.toggleAttribute("data-waiting", isWaiting);
  note.hidden = !isWaiting;
}
document.addEventListener("submit", (event) => {
  if (event.target.hasAttribute("data-waiting")) event.preventDefault();
  else setWaiting(event.target, true);
});
window.addEventListener("pageshow", () => {
  for (const form of document.forms) setWaiting(form, false); // come back to by the back button
});

// --- Tabs: on a narrow screen the current one is brought into sight.
document.querySelector(".tabs [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

// --- The session has ended: show the sign-in page, not a part of it inside this one.
document.addEventListener("htmx:beforeSwap", (event) => {
  const address = event.detail.xhr.responseURL;
  if (address && new URL(address).pathname === document.body.dataset.signIn) {
    event.detail.shouldSwap = false;
    window.location.reload();
  }
});
