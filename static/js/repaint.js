// Painting a mask over a picture: what is painted is repainted. The mask travels as a PNG in the
// form's own file field, so that the server sees the same as from a form without script.

const box = document.getElementById("canvas");
const form = document.getElementById("repaint-form");
const brush = document.getElementById("brush");
const eraser = document.getElementById("erase");
const said = document.getElementById("painted");
const field = form.elements.mask;

const canvas = document.createElement("canvas");
canvas.width = Number(box.dataset.width);
canvas.height = Number(box.dataset.height);
canvas.setAttribute("role", "img");
canvas.setAttribute("aria-label", "What you paint here is repainted. The rectangle below does the same by keyboard.");
box.append(canvas);
document.getElementById("canvas-tools").hidden = false;

const pen = canvas.getContext("2d", { willReadFrequently: true });
let last = null;

function at(event) {
  const shown = canvas.getBoundingClientRect();
  const scale = canvas.width / shown.width;
  return { x: (event.clientX - shown.left) * scale, y: (event.clientY - shown.top) * scale };
}

function stroke(from, to) {
  pen.globalCompositeOperation = eraser.getAttribute("aria-pressed") === "true" ? "destination-out" : "source-over";
  pen.lineWidth = (Number(brush.value) / 100) * Math.min(canvas.width, canvas.height);
  pen.lineCap = "round";
  pen.strokeStyle = "#fff";
  pen.beginPath();
  pen.moveTo(from.x, from.y);
  pen.lineTo(to.x, to.y);
  pen.stroke();
}

canvas.addEventListener("pointerdown", (event) => {
  canvas.setPointerCapture(event.pointerId);
  last = at(event);
  stroke(last, last);
  event.preventDefault();
});
canvas.addEventListener("pointermove", (event) => {
  if (!last) return;
  const now = at(event);
  stroke(last, now);
  last = now;
});
for (const end of ["pointerup", "pointercancel"]) {
  canvas.addEventListener(end, () => {
    if (!last) return;
    last = null;
    keep();
  });
}

eraser.addEventListener("click", () => {
  eraser.setAttribute("aria-pressed", String(eraser.getAttribute("aria-pressed") !== "true"));
});
document.getElementById("clear").addEventListener("click", () => {
  pen.clearRect(0, 0, canvas.width, canvas.height);
  keep();
});
document.getElementById("invert").addEventListener("click", () => {
  pen.globalCompositeOperation = "xor";
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  keep();
});

// The rectangle that counts as long as nothing is painted, shown where it lies.
const rectangle = document.createElement("div");
rectangle.className = "rectangle";
box.append(rectangle);
const sides = ["left", "top", "right", "bottom"].map((side) => form.elements[side]);

function outline() {
  const [left, top, right, bottom] = sides.map((side) => Math.min(Math.max(Number(side.value), 0), 100));
  Object.assign(rectangle.style, { left: `${left}%`, top: `${top}%`, right: `${100 - right}%`, bottom: `${100 - bottom}%` });
  rectangle.hidden = right <= left || bottom <= top || Boolean(said.textContent) || field.files.length > 0;
}
for (const input of [...sides, field]) input.addEventListener("input", outline);
outline();

// Put the mask into the file field, white on black; an empty one takes it out again.
function keep() {
  const { data } = pen.getImageData(0, 0, canvas.width, canvas.height);
  let painted = 0;
  for (let i = 3; i < data.length; i += 4) painted += data[i] > 127;
  const share = Math.round((100 * painted) / (canvas.width * canvas.height));
  said.textContent = painted ? `${Math.max(share, 1)} % is repainted` : "";
  if (!painted) {
    field.value = "";
    outline();
    return;
  }
  const mask = document.createElement("canvas");
  mask.width = canvas.width;
  mask.height = canvas.height;
  const copy = mask.getContext("2d");
  copy.fillStyle = "#000";
  copy.fillRect(0, 0, mask.width, mask.height);
  copy.drawImage(canvas, 0, 0);
  mask.toBlob((blob) => {
    const files = new DataTransfer();
    files.items.add(new File([blob], "mask.png", { type: "image/png" }));
    field.files = files.files;
    outline();
  }, "image/png");
}
