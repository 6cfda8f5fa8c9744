// Labelling a sample: each button names its key in data-key.

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.isComposing) return;
  if (event.target.closest("input, textarea, select")) return;
  const digit = /^(?:Digit|Numpad)(\d)$/.exec(event.code)?.[1];
  const keys = [event.key.toLowerCase(), digit];
  const buttons = [...document.querySelectorAll("[data-key]")];
  const button = buttons.find((one) => keys.includes(one.dataset.key));
  if (!button) return;
  event.preventDefault(); // backspace must not go back
  button.click();
});
