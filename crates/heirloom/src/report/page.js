"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);

  // Elements are made of names and texts alone: what a model said is never read as markup.
  const make = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name === "on") for (const [event, run] of Object.entries(value)) element.addEventListener(event, run);
      else if (value === true) element.setAttribute(name, "");
      else if (value !== false && value != null) element.setAttribute(name, value);
    }
    for (const child of children.flat()) if (child != null) element.append(child);
    return element;
  };
  const option = (value, text) => make("option", { value }, text);
  const choice = (name, id, all, values, change) => {
    const select = make("select", { id, on: { change } }, option("", all), values.map(([value, text]) => option(value, text)));
    return [make("label", { for: id }, name, select), select];
  };
  const field = (name, id, change) => {
    const input = make("input", { id, type: "search", autocomplete: "off", spellcheck: "false", on: { input: change } });
    return [make("label", { for: id }, name, input), input];
  };
  const pager = (size, draw) => {
    let page = 0, count = 0;
    const status = make("span", { role: "status" });
    const step = (by) => () => { page += by; show(); };
    const before = make("button", { type: "button", "aria-label": "previous page", on: { click: step(-1) } }, "←");
    const after = make("button", { type: "button", "aria-label": "next page", on: { click: step(1) } }, "→");
    const show = () => {
      const last = Math.max(0, Math.ceil(count / size) - 1);
      page = Math.min(Math.max(page, 0), last);
      const from = page * size, to = Math.min(count, from + size);
      status.textContent = count ? `${from + 1}–${to} of ${count}` : "none";
      before.disabled = page === 0;
      after.disabled = page === last;
      draw(from, to);
    };
    return { element: make("div", { class: "pager" }, before, after, status), set(n) { count = n; page = 0; show(); } };
  };
  const shown = (value) => value == null ? "" : String(Number(value.toPrecision(3))).replace("-", "−");

  const numbers = () => {
    const home = document.getElementById("numbers-table");
    if (!home) return;
    const names = data.numbers.map(([name]) => name);
    const columns = data.numbers.map(([, column]) => column);
    const count = columns[0].cells.length;
    const cell = (column, row) => {
      const value = columns[column].cells[row];
      return value == null ? null : columns[column].names ? columns[column].names[value] : value;
    };
    const lower = Array.from({ length: count }, () => null);
    const words = (row) => lower[row] ??= columns.map((column, index) => column.names ? cell(index, row) ?? "" : "").join(" ").toLowerCase();
    let order = null, down = false, rows = [];
    const body = make("tbody");
    const heads = names.map((name, index) => make("th", { scope: "col" },
      make("button", { type: "button", on: { click: () => sort(index) } }, name)));
    const table = make("table", {}, make("thead", {}, make("tr", {}, heads)), body);
    // Columns that say nothing of the rows that are left are not shown.
    const isEmpty = names.map(() => false);
    const pages = pager(50, (from, to) => {
      heads.forEach((head, column) => { head.hidden = isEmpty[column]; });
      body.replaceChildren(...rows.slice(from, to).map((row) => make("tr", {}, names.map((name, column) => {
        const value = cell(column, row);
        const isNumber = !columns[column].names;
        const text = value == null ? "" : ["value", "low", "high"].includes(name) ? shown(value) : String(value);
        const kind = isNumber ? "n" : name === "interval" ? "long" : null;
        return make("td", { class: kind, hidden: isEmpty[column], title: isNumber && value != null ? String(value) : null }, text);
      }))));
    });
    const distinct = (name) => columns[names.indexOf(name)].names.map((text, index) => [String(index), text]).sort((a, b) => a[1].localeCompare(b[1]));
    const apply = () => {
      const wanted = [["behavior", behavior], ["arm", arm], ["metric", metric]]
        .filter(([, select]) => select.value !== "")
        .map(([name, select]) => [names.indexOf(name), Number(select.value)]);
      const seeds = columns[names.indexOf("seed")].cells;
      const sought = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      rows = [];
      for (let row = 0; row < count; row++) {
        if (whole.checked && seeds[row] != null) continue;
        if (!wanted.every(([column, value]) => columns[column].cells[row] === value)) continue;
        if (!sought.every((word) => words(row).includes(word))) continue;
        rows.push(row);
      }
      if (order != null) {
        const sign = down ? -1 : 1;
        rows.sort((a, b) => {
          const [x, y] = [cell(order, a), cell(order, b)];
          if (x == null || y == null) return (x == null) - (y == null);
          return sign * (typeof x === "string" ? x.localeCompare(y) : x - y) || a - b;
        });
      }
      columns.forEach((column, index) => { isEmpty[index] = rows.every((row) => column.cells[row] == null); });
      pages.set(rows.length);
    };
    const sort = (index) => {
      down = order === index && !down;
      order = index;
      heads.forEach((head, at) => head.setAttribute("aria-sort", at !== index ? "none" : down ? "descending" : "ascending"));
      apply();
    };
    const [behaviorLabel, behavior] = choice("behavior", "n-behavior", "all", distinct("behavior"), () => apply());
    const [armLabel, arm] = choice("arm", "n-arm", "all", distinct("arm"), () => apply());
    const [metricLabel, metric] = choice("metric", "n-metric", "all", distinct("metric"), () => apply());
    const [searchLabel, search] = field("holds the words", "n-search", () => apply());
    const whole = make("input", { type: "checkbox", id: "n-whole", on: { change: () => apply() } });
    const first = columns[names.indexOf("metric")].names.indexOf(home.dataset.first);
    if (first >= 0) metric.value = String(first);
    const bySeed = columns[names.indexOf("seed")].cells.some((seed) => seed != null) && columns[names.indexOf("seed")].cells.some((seed) => seed == null);
    whole.checked = bySeed;
    home.append(
      make("div", { class: "controls" }, behaviorLabel, armLabel, metricLabel, searchLabel,
        bySeed ? make("label", { class: "tick", for: "n-whole" }, whole, "over all seeds only") : null),
      pages.element,
      make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Numbers" }, table));
    apply();
  };

  const texts = () => {
    const home = document.getElementById("texts-list");
    if (!home) return;
    const all = data.texts;
    const far = all.behaviors.map(() => 0);
    for (const row of all.rows) for (const value of row.r ?? []) far[row.b] = Math.max(far[row.b], Math.abs(value));
    let rows = [];
    const list = make("div");
    const inTurn = (pieces) => pieces.map((piece, index) => index % 2 ? make("mark", {}, piece) : piece);
    const strip = (value, name, limit) => make("span", { class: "strip", title: `${name}: ${value}` },
      make("i", { "aria-hidden": "true" }, place(value, limit)), shown(value));
    const place = (value, limit) => {
      const bar = make("b");
      bar.style.left = `${50 + 48 * (limit ? value / limit : 0)}%`;
      return bar;
    };
    let most = 0;
    for (const row of all.rows) for (const value of row.h ?? []) most = Math.max(most, Math.abs(value));
    const tokens = (row) => make("div", { class: "said tokens" }, row.k.map((piece, index) => {
      const value = row.h[index], part = most ? Math.abs(value) / most : 0;
      const span = make("span", { title: `${shown(value)}` }, piece);
      span.style.background = `rgba(${value < 0 ? "33,102,172" : "178,24,43"},${(0.75 * part).toFixed(3)})`;
      return span;
    }));
    const asked = (prompt) => prompt.pieces.length
      ? make("div", { class: "said asked" }, inTurn(prompt.pieces))
      : make("div", { class: "asked" }, Array.from({ length: prompt.said.length / 2 }, (_, turn) =>
        make("div", { class: "said" }, make("span", { class: "role" }, prompt.said[2 * turn]), prompt.said[2 * turn + 1])));
    const card = (row) => make("article", { class: "text" },
      make("div", { class: "meta" },
        make("strong", {}, all.arms[row.a]),
        make("span", {}, all.behaviors[row.b]),
        row.s == null ? null : make("span", {}, `seed ${row.s}`),
        row.g == null ? null : make("span", { class: `badge ${row.g ? "yes" : "no"}` }, all.grades[row.g ? 0 : 1]),
        row.c == null || row.c ? null : make("span", { class: "badge" }, "not well formed"),
        row.f?.length ? make("span", {}, `rules: ${row.f.map((rule) => all.rules[rule]).join(", ")}`) : null,
        (row.r ?? []).map((value, index) => strip(value, all.readings[index], far[row.b])),
        make("span", {}, all.prompts[row.p].id)),
      asked(all.prompts[row.p]),
      make("div", { class: "said answer" }, inTurn(row.t)),
      row.h ? tokens(row) : null);
    const pages = pager(20, (from, to) => list.replaceChildren(...rows.slice(from, to).map(card)));
    const apply = () => {
      const sought = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      rows = all.rows.filter((row) =>
        (arm.value === "" || row.a === Number(arm.value)) &&
        (behavior.value === "" || row.b === Number(behavior.value)) &&
        (seed.value === "" || row.s === Number(seed.value)) &&
        (grade.value === "" || row.g === (grade.value === "yes")) &&
        sought.every((word) => row.t.join("").toLowerCase().includes(word)
          || all.prompts[row.p].said.some((said) => said.toLowerCase().includes(word))));
      if (order.value !== "") {
        const sign = order.value === "up" ? 1 : -1;
        rows = rows.map((row, at) => [row, at]).sort(([a, i], [b, j]) => sign * ((a.r?.[0] ?? 0) - (b.r?.[0] ?? 0)) || i - j).map(([row]) => row);
      }
      pages.set(rows.length);
    };
    const numbered = (names) => names.map((name, index) => [String(index), name]);
    const seeds = [...new Set(all.rows.map((row) => row.s).filter((seed) => seed != null))].sort((a, b) => a - b);
    const [armLabel, arm] = choice(seeds.length ? "arm" : "class", "t-arm", "all", numbered(all.arms), () => apply());
    const [behaviorLabel, behavior] = choice("behavior", "t-behavior", "all", numbered(all.behaviors), () => apply());
    const [seedLabel, seed] = choice("seed", "t-seed", "all", seeds.map((seed) => [String(seed), String(seed)]), () => apply());
    const [gradeLabel, grade] = choice("grade", "t-grade", "all", [["yes", all.grades[0]], ["no", all.grades[1]]], () => apply());
    const [orderLabel, order] = choice("order", "t-order", "as stored", [["down", "highest reading first"], ["up", "lowest reading first"]], () => apply());
    const [searchLabel, search] = field("holds the words", "t-search", () => apply());
    const hasReadings = all.rows.some((row) => row.r?.length);
    home.append(
      make("div", { class: "controls" }, armLabel, behaviorLabel, seeds.length > 1 ? seedLabel : null, gradeLabel, hasReadings ? orderLabel : null, searchLabel),
      hasReadings ? make("p", { class: "meta" }, `Strip: ${all.readings.join("; ")}; blue below zero, red above, ends at the largest of the behavior.`) : "",
      all.strip ? make("p", { class: "meta" }, `Colored tokens: ${all.strip}; blue below zero, red above, a token's number when pointed at.`) : "",
      pages.element, list);
    apply();
  };

  // Tables that stand in the page: a head sorts, as numbers where all cells are.
  const sortable = (table) => {
    const body = table.tBodies[0];
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const text = head.textContent;
      head.replaceChildren(make("button", { type: "button", on: { click: () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        heads.forEach((other) => other.setAttribute("aria-sort", other !== head ? "none" : down ? "descending" : "ascending"));
        const key = (row) => row.cells[column].textContent;
        const rows = [...body.rows];
        const isNumber = rows.every((row) => key(row) !== "" && !Number.isNaN(Number(key(row))));
        rows.sort((a, b) => (down ? -1 : 1) * (isNumber ? key(a) - key(b) : key(a).localeCompare(key(b))));
        body.append(...rows);
      } } }, text));
    });
  };

  numbers();
  texts();
  document.querySelectorAll("table[data-sortable]").forEach(sortable);
})();
