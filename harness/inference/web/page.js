"use strict";
const MOST_CLASSES = 10;
const MOST_AT_ONCE = 4; // requests
const TINY = 112; // pixels; up to there they are shown as squares
const at = (name) => document.getElementById(name);
const mostBytes = Number(document.body.dataset.mostBytes);
const hasIndex = Number(document.body.dataset.indexed) > 0;
const counts = { given: 0, answered: 0, failed: 0 };
const waiting = [];
let running = 0;

function element(name, text) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  return made;
}

function tell(message) {
  at("error").textContent = message;
  at("error").hidden = !message;
}

function count() {
  const open = counts.given - counts.answered - counts.failed;
  const parts = [`${counts.answered} of ${counts.given} answered`];
  if (counts.failed) parts.push(`${counts.failed} without an answer`);
  if (open) parts.push(`${open} waiting`);
  at("progress").textContent = counts.given ? parts.join(", ") : "";
  at("clear").disabled = counts.given === 0;
}

function bar(name, probability) {
  const row = element("tr");
  const head = element("th", name);
  const cell = element("td");
  const filled = element("div");
  head.scope = "row";
  cell.className = "bar";
  filled.style.width = `${100 * probability}%`;
  cell.append(filled);
  row.append(head, cell, element("td", `${(100 * probability).toFixed(1)} %`));
  return row;
}

// A path, so that a line of it may end behind a slash.
function breakable(path) {
  return path.split("/").flatMap((part, place) => (place ? ["/", element("wbr"), part] : [part]));
}

function similar(image) {
  const made = element("figure");
  const picture = element(image.image ? "img" : "div", image.image ? undefined : "gone");
  if (image.image) {
    picture.src = image.image;
    picture.alt = "";
  } else {
    picture.className = "gone";
  }
  const caption = element("figcaption", image.score.toFixed(3));
  caption.append(element("br"), ...breakable(image.name));
  made.append(picture, caption);
  return made;
}

class Card {
  constructor(file) {
    this.file = file;
    this.state = "waiting";
    this.item = at("result").content.cloneNode(true).firstElementChild;
    this.part("name").textContent = file.name || "pasted image";
    this.part("remove").setAttribute("aria-label", `Remove ${file.name || "pasted image"}`);
    this.part("remove").addEventListener("click", () => this.remove());
    this.part("again").addEventListener("click", () => this.ask());
    const given = this.part("given");
    given.addEventListener("load", () => {
      given.classList.toggle("tiny", Math.max(given.naturalWidth, given.naturalHeight) <= TINY);
    });
    given.addEventListener("error", () => { given.closest("figure").hidden = true; }); // a format that no browser shows
    this.preview = URL.createObjectURL(file);
    given.src = this.preview;
    at("results").append(this.item);
    counts.given += 1;
  }

  part(name) {
    return this.item.querySelector(`.${name}`);
  }

  become(state) {
    for (const one of ["answered", "failed"]) counts[one] += (state === one) - (this.state === one);
    this.state = state;
    this.part("waiting").hidden = state !== "waiting";
    this.part("failure").hidden = state !== "failed";
    count();
  }

  ask() {
    if (this.file.size > mostBytes) {
      const size = (this.file.size / 1e6).toFixed(1);
      this.fail(`This file has ${size} MB, and ${mostBytes / 1e6} MB are allowed: save it smaller, or as JPEG.`, false);
      return;
    }
    this.become("waiting");
    waiting.push(this);
    next();
  }

  async send() {
    const query = `explain=${at("explain").checked}&similar=${hasIndex}`;
    try {
      const reply = await fetch(`predict?${query}`, { method: "POST", body: this.file });
      const answer = await reply.json();
      if (this.state === "removed") return;
      if (reply.ok) this.show(answer);
      else this.fail(`No answer: ${answer.error}.`, reply.status >= 500 || reply.status === 408);
    } catch {
      if (this.state !== "removed") this.fail("The server does not answer. Is harness serve still running?", true);
    }
  }

  fail(why, mayHelp) {
    this.part("why").textContent = why;
    this.part("again").hidden = !mayHelp;
    this.become("failed");
  }

  show(answer) {
    const sorted = Object.entries(answer.probabilities).sort((one, two) => two[1] - one[1]);
    this.part("label").textContent = answer.label;
    this.part("bars").replaceChildren(...sorted.slice(0, MOST_CLASSES).map(([name, value]) => bar(name, value)));
    this.part("classes").hidden = false;
    const looked = answer.where !== null;
    this.part("looked").hidden = !looked;
    this.part("explained").hidden = !looked;
    if (looked) this.part("where").src = answer.where;
    for (const place of this.item.querySelectorAll(".of")) place.textContent = sorted[0][0];
    this.part("alike").hidden = answer.similar.length === 0;
    this.part("alike").open = counts.given === 1;
    this.part("row").replaceChildren(...answer.similar.map(similar));
    this.become("answered");
  }

  remove() {
    const next = this.item.nextElementSibling || this.item.previousElementSibling;
    URL.revokeObjectURL(this.preview);
    this.item.remove();
    this.become("removed");
    counts.given -= 1;
    count();
    (next ? next.querySelector(".remove") : at("file")).focus();
  }
}

async function next() {
  if (running >= MOST_AT_ONCE || waiting.length === 0) return;
  const card = waiting.shift();
  running += 1;
  if (card.state === "waiting") await card.send();
  running -= 1;
  next();
}

function take(files) {
  tell("");
  const cards = [...files].map((file) => new Card(file));
  cards.forEach((card) => card.ask());
  count();
}

at("file").addEventListener("change", (event) => {
  take(event.target.files);
  event.target.value = ""; // the same file may be chosen again
});
at("clear").addEventListener("click", () => {
  for (const button of [...document.querySelectorAll("#results .remove")]) button.click();
  tell("");
  at("file").focus();
});
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
  if (event.dataTransfer.files.length) take(event.dataTransfer.files);
  else tell("What was dropped is no file: save the image first, then drop the file.");
});
document.addEventListener("paste", (event) => {
  if (event.clipboardData.files.length) take(event.clipboardData.files);
  else tell("There is no image in the clipboard: copy the image itself, not its address.");
});
