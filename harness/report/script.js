"use strict";
// Hovering and picking trials. Everything it needs is in the page; nothing is fetched.
(() => {
  const tip = document.createElement("div");
  tip.id = "tip";
  tip.setAttribute("role", "status");
  document.body.append(tip);

  const show = (words, event) => {
    tip.textContent = words;
    tip.style.display = "block";
    const right = event.clientX + 14 + tip.offsetWidth > innerWidth;
    const below = event.clientY + 16 + tip.offsetHeight > innerHeight;
    tip.style.left = Math.max(4, right ? event.clientX - 10 - tip.offsetWidth : event.clientX + 14) + "px";
    tip.style.top = Math.max(4, below ? event.clientY - 10 - tip.offsetHeight : event.clientY + 16) + "px";
  };
  const hide = () => { tip.style.display = "none"; };

  document.addEventListener("pointermove", (event) => {
    const target = event.target instanceof Element && event.target.closest("[data-tip]");
    if (target) show(target.dataset.tip, event);
    else if (!(event.target instanceof Element && event.target.closest("[data-trial]"))) hide();
  });

  for (const root of document.querySelectorAll(".study")) explore(root);

  function explore(root) {
    const data = JSON.parse(root.querySelector("script.data").textContent);
    const marks = new Map();
    for (const element of root.querySelectorAll("[data-trial]")) {
      const number = element.dataset.trial;
      if (!marks.has(number)) marks.set(number, []);
      marks.get(number).push(element);
    }
    const brushes = new Map(); // axis -> [low, high], shares of its length
    const controls = root.querySelector(".controls");
    root.classList.add("alive");
    let hot = null;

    const point = (number) => {
      if (number === hot) return;
      for (const element of marks.get(hot) || []) element.classList.remove("hot");
      hot = number;
      for (const element of marks.get(hot) || []) element.classList.add("hot");
    };
    root.addEventListener("pointermove", (event) => {
      const target = event.target.closest("[data-trial]");
      point(target ? target.dataset.trial : null);
      if (target && data.trials[hot] && !event.target.closest("[data-tip]")) show(data.trials[hot].words, event);
    });
    root.addEventListener("pointerleave", () => { point(null); hide(); });
    if (!controls) return;

    const range = controls.querySelector("input[type=range]");
    const boxes = [...controls.querySelectorAll("input[type=checkbox]")];
    const passes = (trial) =>
      boxes.every((box) => box.checked || box.value !== trial.state) &&
      (Number(range.value) >= Number(range.max) || (trial.rank !== null && trial.rank <= Number(range.value))) &&
      [...brushes].every(([axis, [low, high]]) => {
        const place = trial.places[axis];
        return place !== null && place >= low && place <= high;
      });

    const apply = () => {
      const kept = [];
      for (const [number, trial] of Object.entries(data.trials)) {
        const keep = passes(trial);
        if (keep) kept.push(trial);
        for (const element of marks.get(number) || []) element.classList.toggle("off", !keep);
      }
      kept.sort((a, b) => (a.rank ?? Infinity) - (b.rank ?? Infinity));
      const best = kept.length && kept[0].rank !== null ? "; best of them: " + kept[0].words.split("\n")[0] : "";
      const total = Object.keys(data.trials).length;
      controls.querySelector("output.rank").value = Number(range.value) >= Number(range.max) ? "all" : range.value;
      controls.querySelector("output.kept").value = kept.length + " of " + total + " trials" + best;
    };

    for (const zone of root.querySelectorAll(".brush-zone")) {
      const svg = zone.ownerSVGElement;
      const [top, bottom] = [Number(zone.dataset.top), Number(zone.dataset.bottom)];
      const box = document.createElementNS("http://www.w3.org/2000/svg", "rect");
      box.setAttribute("class", "brush");
      box.setAttribute("x", Number(zone.getAttribute("x")) + 6);
      box.setAttribute("width", Number(zone.getAttribute("width")) - 12);
      box.setAttribute("display", "none");
      zone.after(box);
      const at = (event) => {
        const frame = svg.getBoundingClientRect();
        const y = (event.clientY - frame.top) * svg.viewBox.baseVal.height / frame.height;
        return Math.min(Math.max(y, top), bottom);
      };
      let from = null;
      zone.clear = () => { brushes.delete(Number(zone.dataset.axis)); box.setAttribute("display", "none"); };
      zone.addEventListener("pointerdown", (event) => {
        from = at(event);
        zone.setPointerCapture(event.pointerId);
        event.preventDefault();
      });
      zone.addEventListener("pointermove", (event) => {
        if (from === null) return;
        const [upper, lower] = [from, at(event)].sort((a, b) => a - b);
        if (lower - upper < 4) return;
        box.removeAttribute("display");
        box.setAttribute("y", upper);
        box.setAttribute("height", lower - upper);
        const share = (y) => (bottom - y) / (bottom - top);
        brushes.set(Number(zone.dataset.axis), [share(lower) - 1e-6, share(upper) + 1e-6]);
        apply();
      });
      zone.addEventListener("pointerup", (event) => {
        if (from !== null && Math.abs(at(event) - from) < 4) { zone.clear(); apply(); }
        from = null;
      });
    }
    controls.addEventListener("input", apply);
    controls.querySelector("button").addEventListener("click", () => {
      for (const zone of root.querySelectorAll(".brush-zone")) zone.clear();
      for (const box of boxes) box.checked = true;
      range.value = range.max;
      apply();
    });
    apply();
  }

  const reveal = () => {
    const target = document.getElementById(location.hash.slice(1));
    for (let above = target; above; above = above.parentElement) if (above.tagName === "DETAILS") above.open = true;
    if (target) target.scrollIntoView();
  };
  addEventListener("hashchange", reveal);
  if (location.hash) reveal();
  addEventListener("beforeprint", () => {
    for (const part of document.querySelectorAll("details.print, details.study")) part.open = true;
  });
})();
