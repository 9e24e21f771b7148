"use strict";
// Draws the charts of each study, has them follow one choice of trials, sorts tables. Nothing is fetched.
(() => {
  const isNarrow = innerWidth < 640;

  // Who prints before all charts are drawn gets them all. The browser calls `beforeprint` itself, and goes on when what
  // that began is drawn; a script that calls print() would go on at once, so that its print waits.
  const print = window.print.bind(window);
  window.print = () => { shown.finally(print); };
  addEventListener("beforeprint", () => {
    for (const part of document.querySelectorAll("details.print")) part.open = true;
  });
  const shown = Promise.all([...document.querySelectorAll(".study")].map(show));
  for (const table of document.querySelectorAll(".scroll table")) sortable(table);
  for (const table of document.querySelectorAll("table.few:not([data-few=''])")) shorten(table);
  reachable();

  async function show(root) {
    const data = JSON.parse(root.querySelector("script.data").textContent);
    const rows = new Map([...root.querySelectorAll("tr[data-trial]")].map((row) => [Number(row.dataset.trial), row]));
    const views = new Map(); // element -> view
    const controls = root.querySelector(".controls");
    let kept = data.trials, brush = {}, hot = null;

    const point = (trial) => {
      if (trial === hot) return;
      rows.get(hot)?.classList.remove("hot");
      hot = trial;
      rows.get(hot)?.classList.add("hot");
      for (const view of views.values()) if (view.hasTrials) view.signal("hot", hot).runAsync();
    };
    for (const [trial, row] of rows) {
      row.addEventListener("pointerenter", () => point(trial));
      row.addEventListener("pointerleave", () => point(null));
    }

    const draw = async (element) => {
      const spec = structuredClone(data.charts[element.dataset.chart]);
      const { widest, square } = spec.usermeta;
      if (widest) element.style.maxWidth = widest + "px";
      for (const param of spec.params ?? []) if (param.name === "narrow") param.value = isNarrow;
      if (square) spec.height = Math.min(spec.height, Math.max(element.clientWidth - (isNarrow ? square / 2 + 10 : square), 120));
      const hasTrials = spec.data?.name === "trials";
      if (hasTrials) spec.datasets = { trials: kept };
      views.get(element)?.finalize();
      const { view } = await vegaEmbed(element, spec, {
        config: data.config, renderer: "svg", ast: true, defaultStyle: false, tooltip: { disableDefaultStyle: true },
        forceActionsMenu: true, logLevel: 1, // no trial may be left, which is no news
        actions: { export: true, source: false, compiled: false, editor: false }, downloadFileName: element.dataset.chart,
        i18n: { PNG_ACTION: "PNG", SVG_ACTION: "SVG" },
      });
      element.querySelector("summary").setAttribute("aria-label", "Save the chart");
      for (const mark of element.querySelectorAll("[role=graphics-symbol]:not([aria-label])")) mark.ariaHidden = "true";
      views.set(element, view);
      if (element.dataset.chart === "two") compare();
      view.hasTrials = hasTrials && spec.params.some((param) => param.name === "hot");
      if (!view.hasTrials) return;
      view.addEventListener("pointerover", (_, item) => point(item?.datum?.trial ?? null));
      view.addEventListener("pointerout", () => point(null));
      if (element.dataset.chart === "parallel") {
        view.addSignalListener("brush", (_, value) => { brush = value; apply(); });
      }
    };

    const passes = (trial) => {
      const best = controls.querySelector("input[type=range]");
      const states = [...controls.querySelectorAll("input:checked")].map((box) => box.value);
      const all = Number(best.value) >= Number(best.max);
      return states.includes(trial.state) && (all || trial.rank <= Number(best.value));
    };
    const isMarked = (trial, least, most) => {
      const [low, high] = brush.place ?? [0, 1];
      const ofScore = most > least ? (trial.y - least) / (most - least) : 0.5; // as the chart has it
      return (brush.axis ?? []).every((axis) => {
        const place = axis in trial ? trial[axis] : ofScore;
        return place !== null && place >= low && place <= high;
      });
    };
    const apply = () => {
      const drawn = data.trials.filter(passes);
      const scores = drawn.filter((trial) => trial.score !== null).map((trial) => trial.y);
      kept = drawn.filter((trial) => isMarked(trial, Math.min(...scores), Math.max(...scores)));
      const numbers = new Set(kept.map((trial) => trial.trial));
      for (const [trial, row] of rows) row.classList.toggle("off", !numbers.has(trial));
      for (const [element, view] of views) {
        if (!view.hasTrials) continue;
        // The chart that is being marked keeps its lines, or what is marked would move under the pointer.
        view.data("trials", element.dataset.chart === "parallel" ? drawn : kept).runAsync();
      }
      const best = kept.filter((trial) => trial.rank).sort((one, two) => one.rank - two.rank)[0];
      const range = controls.querySelector("input[type=range]");
      controls.querySelector(".rank").value = range.value === range.max ? "all" : range.value;
      controls.querySelector(".kept").value =
        `${kept.length} of ${data.trials.length} trials` + (best ? `; best of them: trial ${best.trial}, ${best.words[0]}` : "");
    };
    if (controls) {
      controls.addEventListener("input", apply);
      controls.querySelector("button").addEventListener("click", async () => {
        for (const box of controls.querySelectorAll("input[type=checkbox]")) box.checked = true;
        const range = controls.querySelector("input[type=range]");
        range.value = range.max;
        brush = {};
        apply();
        for (const element of views.keys()) if (element.dataset.chart === "parallel") await draw(element);
      });
      root.classList.add("alive");
      apply();
    }

    const pair = root.querySelector("select.pair");
    pair?.addEventListener("change", () => {
      const element = pair.closest("p").nextElementSibling.querySelector(".drawn");
      element.dataset.chart = pair.value;
      draw(element);
    });

    const two = root.querySelector(".two");
    const compare = two ? beside(two, data, () => [...views].find(([element]) => element.dataset.chart === "two")?.[1]) : null;

    addEventListener("beforeprint", () => {
      for (const element of root.querySelectorAll(".drawn:empty")) draw(element);
    });
    for (const element of root.querySelectorAll(".drawn")) {
      if (!element.hasChildNodes()) await draw(element); // a print may have come first
      await new Promise((resolve) => setTimeout(resolve)); // the page stays quick meanwhile
    }
    root.dataset.drawn = "";
  }

  // Two trials as a table, and in their chart once there is one.   Returned: what says it anew.
  function beside(two, data, chart) {
    const [left, right] = two.querySelectorAll("select");
    right.selectedIndex = 1;
    const update = () => {
      const chosen = [left, right].map((select) => data.trials.find((trial) => trial.trial === Number(select.value)));
      const rows = data.names.map((name, place) => [name, ...chosen.map((trial) => trial.words[place])]);
      const table = document.createElement("table");
      for (const cells of [["", ...chosen.map((trial) => `trial ${trial.trial}`)], ...rows]) {
        const row = table.insertRow();
        for (const words of cells) row.insertCell().textContent = words;
        if (cells[1] !== cells[2] && row.rowIndex) row.classList.add("best");
      }
      two.querySelector(".beside").replaceChildren(table);
      chart()?.signal("one", chosen[0].trial).signal("other", chosen[1].trial).runAsync();
    };
    two.addEventListener("change", update);
    update();
    return update;
  }

  function sortable(table) {
    const heads = [...(table.tHead?.rows[0].cells ?? [])];
    if (heads.length < 3 || table.tBodies[0].rows.length < 3) return;
    const value = (row, place) => {
      const words = row.cells[place]?.textContent.trim() ?? "";
      const number = parseFloat(words.replaceAll(",", ""));
      return Number.isNaN(number) ? words : number;
    };
    heads.forEach((head, place) => {
      if (head.colSpan > 1) return;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const order = head.getAttribute("aria-sort") === "descending" ? "ascending" : "descending";
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", order);
        const sign = order === "ascending" ? 1 : -1;
        const rows = [...table.tBodies[0].rows].map((row) => [value(row, place), row]);
        rows.sort(([one], [two]) => {
          if (typeof one !== typeof two) return typeof one === "number" ? -1 : 1; // what has no number stays below
          return sign * (typeof one === "number" ? one - two : one.localeCompare(two));
        });
        table.tBodies[0].append(...rows.map(([, row]) => row));
      });
    });
  }

  function shorten(table) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "screen";
    const say = () => { button.textContent = table.classList.contains("all") ? "Show fewer" : `Show all ${table.dataset.few}`; };
    button.addEventListener("click", () => { table.classList.toggle("all"); say(); });
    say();
    table.parentElement.after(button);
  }

  // What scrolls can be scrolled by the keyboard.
  function reachable() {
    for (const box of document.querySelectorAll(".scroll")) {
      if (box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight) box.tabIndex = 0;
      else box.removeAttribute("tabindex");
    }
  }
  addEventListener("resize", reachable);
  document.addEventListener("toggle", reachable, true);

  const reveal = () => {
    const target = document.getElementById(location.hash.slice(1));
    for (let above = target; above; above = above.parentElement) if (above.tagName === "DETAILS") above.open = true;
    if (target) target.scrollIntoView();
  };
  addEventListener("hashchange", reveal);
  if (location.hash) reveal();
})();
