"use strict";
const MOST_CLASSES = 10;
const TINY = 112; // pixels; up to there they are shown as squares
const at = (name) => document.getElementById(name);
let latest = 0;
let preview = "";

function element(name, text) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  return made;
}

function tell(message) {
  at("error").textContent = message;
  at("error").hidden = !message;
}

function bar(name, probability) {
  const row = element("tr");
  const cell = element("td");
  const filled = element("div");
  cell.className = "bar";
  filled.style.width = `${100 * probability}%`;
  cell.append(filled);
  row.append(element("td", name), cell, element("td", `${(100 * probability).toFixed(1)} %`));
  return row;
}

// A path, so that a line of it may end behind a slash.
function breakable(path) {
  return path.split("/").flatMap((part, place) => (place ? ["/", element("wbr"), part] : [part]));
}

function figure(image) {
  const made = element("figure");
  const picture = element(image.image ? "img" : "div", image.image ? undefined : "gone");
  if (image.image) {
    picture.src = image.image;
    picture.alt = image.name;
  } else {
    picture.className = "gone";
  }
  const caption = element("figcaption", image.score.toFixed(3));
  caption.append(element("br"), ...breakable(image.name));
  made.append(picture, caption);
  return made;
}

function show(file, answer) {
  URL.revokeObjectURL(preview);
  preview = URL.createObjectURL(file);
  at("given").src = preview;
  at("label").textContent = answer.label;
  const sorted = Object.entries(answer.probabilities).sort((one, two) => two[1] - one[1]);
  at("bars").replaceChildren(...sorted.slice(0, MOST_CLASSES).map(([name, value]) => bar(name, value)));
  at("looked").hidden = answer.where === null;
  if (answer.where !== null) at("where").src = answer.where;
  at("alike").hidden = answer.similar.length === 0;
  at("similar").replaceChildren(...answer.similar.map(figure));
  at("answer").hidden = false;
}

async function ask(file) {
  if (!file) return;
  const number = ++latest;
  tell("");
  at("drop").classList.add("busy");
  try {
    const reply = await fetch("predict", { method: "POST", body: file });
    const answer = await reply.json();
    if (number !== latest) return;
    if (reply.ok) {
      show(file, answer);
    } else {
      at("answer").hidden = true;
      tell(answer.error);
    }
  } catch {
    if (number === latest) tell("the server does not answer");
  } finally {
    if (number === latest) at("drop").classList.remove("busy");
  }
}

async function introduce() {
  const health = await (await fetch("health")).json();
  const indexed = health.indexed ? `; ${health.indexed.toLocaleString("en")} images indexed` : "";
  at("model").textContent = health.model + indexed;
  at("raw").hidden = health.calibrated;
}

at("given").addEventListener("load", (event) => {
  event.target.classList.toggle("tiny", Math.max(event.target.naturalWidth, event.target.naturalHeight) <= TINY);
});
at("file").addEventListener("change", (event) => ask(event.target.files[0]));
for (const name of ["dragenter", "dragover"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    at("drop").classList.add("over");
  });
}
for (const name of ["dragleave", "drop"]) {
  document.addEventListener(name, () => at("drop").classList.remove("over"));
}
document.addEventListener("drop", (event) => {
  event.preventDefault();
  ask(event.dataTransfer.files[0]);
});
document.addEventListener("paste", (event) => ask(event.clipboardData.files[0]));
introduce().catch(() => tell("the server does not answer"));
