"use strict";
(() => {
  const root = document.documentElement;
  const values = JSON.parse(document.getElementById("values").textContent);
  const byId = (id) => document.getElementById(id);

  // ---- theme: automatic, light, dark
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const THEMES = ["auto", "light", "dark"];
  const PALETTES = {
    light: {
      series: ["#2f62d0", "#d6701f", "#1f8a5f", "#9a4fc0", "#b8901a", "#c93f66", "#2c93a8", "#6d7686", "#7a5a3a", "#5b7f2b", "#5a54c4", "#a8505a"],
      accent: "#2f62d0", muted: "#9aa4b5", text: "#3a4354", soft: "#566074", grid: "#e4e8ef", card: "#ffffff",
      scale: [[0, "#f2f5fb"], [0.5, "#8aa9ea"], [1, "#1d3f92"]],
    },
    dark: {
      series: ["#85aaff", "#f2a163", "#64cf9f", "#cf97ef", "#e6c45c", "#f58aa6", "#6fcfe2", "#a6b0c2", "#c9a27a", "#a9cf74", "#a9a4f5", "#e39aa2"],
      accent: "#85aaff", muted: "#68748a", text: "#d3dae6", soft: "#a3adbf", grid: "#2b3444", card: "#1a202b",
      scale: [[0, "#202838"], [0.5, "#4a6bb5"], [1, "#c3d5ff"]],
    },
  };
  let chosen = "auto";
  const theme = () => (chosen === "auto" ? (dark.matches ? "dark" : "light") : chosen);
  const applyTheme = () => {
    root.dataset.theme = theme();
    byId("theme").textContent = `Theme: ${chosen}`;
    for (const chart of drawn) draw(chart);
  };

  // ---- charts
  const charts = new Map(values.charts.map((chart) => [chart.id, chart]));
  const drawn = new Set();
  const at = new Map();

  const coloured = (value, palette) => {
    if (typeof value === "string" && value[0] === "@") {
      const name = value.slice(1);
      return /^\d+$/.test(name) ? palette.series[Number(name) % palette.series.length] : palette[name] || value;
    }
    if (Array.isArray(value)) return typeof value[0] === "number" ? value : value.map((item) => coloured(item, palette));
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, RAW.has(key) ? item : coloured(item, palette)]));
    }
    return value;
  };
  const RAW = new Set(["x", "y", "z", "name", "customdata", "text", "title"]);  // what users named may begin with @

  const layoutOf = (chart, palette) => {
    const given = coloured(chart.layout, palette);
    // Each axis makes room in one direction: where both did so in both, they might never agree.
    const axis = { gridcolor: palette.grid, zerolinecolor: palette.grid, linecolor: palette.grid, fixedrange: true, ticks: "outside", ticklen: 7, tickcolor: "rgba(0,0,0,0)" };
    return {
      ...given,
      font: { family: "system-ui, -apple-system, Segoe UI, Roboto, DejaVu Sans, sans-serif", size: 12, color: palette.text },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      margin: { l: 48, r: 16, t: 12, b: 40 },
      xaxis: { ...axis, automargin: "height", ...(given.xaxis || {}) },
      yaxis: { ...axis, automargin: "width", ...(given.yaxis || {}) },
      legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, bgcolor: "rgba(0,0,0,0)", ...(given.legend || {}) },
      hoverlabel: { bgcolor: palette.card, bordercolor: palette.grid, font: { color: palette.text } },
    };
  };

  const draw = (id) => {
    const chart = charts.get(id);
    const place = byId(`plot-${id}`);
    const data = chart.frames.length ? chart.frames[at.get(id) ?? chart.frames.length - 1][1] : chart.data;
    const palette = PALETTES[theme()];
    const layout = layoutOf(chart, palette);
    if (data.length < 2 && layout.showlegend === undefined) layout.showlegend = false;
    Plotly.react(place, data.map((trace) => coloured(trace, palette)), layout, { displayModeBar: false, responsive: true, scrollZoom: false });
    place.setAttribute("role", "img");
    place.setAttribute("aria-label", `${chart.title}. ${chart.says}`);
    drawn.add(id);
  };

  const near = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting) {
        near.unobserve(entry.target);
        draw(entry.target.dataset.chart);
      }
    }
  }, { rootMargin: "600px" });
  for (const figure of document.querySelectorAll("[data-chart]")) near.observe(figure);
  window.addEventListener("beforeprint", () => { for (const id of charts.keys()) draw(id); });

  for (const chart of values.charts) {
    const slider = byId(`slide-${chart.id}`);
    if (!slider) continue;
    const label = slider.labels[0];
    const show = () => {
      const index = Number(slider.value);
      at.set(chart.id, index);
      label.textContent = chart.frames[index][0];
      slider.setAttribute("aria-valuetext", chart.frames[index][0]);
      draw(chart.id);
    };
    slider.addEventListener("input", show);
    slider.setAttribute("aria-valuetext", label.textContent);
  }

  byId("theme").addEventListener("click", () => {
    chosen = THEMES[(THEMES.indexOf(chosen) + 1) % THEMES.length];
    applyTheme();
  });
  dark.addEventListener("change", applyTheme);
  applyTheme();

  // ---- where in the page
  const links = [...document.querySelectorAll("nav a")];
  const here = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting) for (const link of links) {
        const is = link.hash === `#${entry.target.id}`;
        link.classList.toggle("here", is);
        if (is) link.setAttribute("aria-current", "true"); else link.removeAttribute("aria-current");
      }
    }
  }, { rootMargin: "-20% 0px -70% 0px" });
  for (const section of document.querySelectorAll("main section")) here.observe(section);

  // ---- proportions to paste
  byId("copy").addEventListener("click", async () => {
    const text = byId("yaml").textContent;
    let done = true;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const range = document.createRange();
      range.selectNodeContents(byId("yaml"));
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      done = false;
    }
    byId("copied").textContent = done ? "Copied." : "Selected: copy it with the keyboard.";
  });

  const element = (name, content, attributes = {}) => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (content !== null) made.textContent = content;
    return made;
  };

  // ---- weights of tokens
  const figure = (weight) => String(Number(weight.toPrecision(4)));
  const shade = () => {
    const one = values.weighed[Number(byId("of-weighed").value)];
    const most = Math.max(...one.weights, 1e-9);
    byId("shaded").replaceChildren(...one.tokens.map((text, i) => {
      const weight = one.weights[i];
      const token = element("span", text, { title: `weight ${figure(weight)}` });
      if (weight === 0) token.className = "zero";
      token.style.setProperty("--w", String(weight / most));
      return token;
    }));
    document.querySelector("#weights-table tbody").replaceChildren(...one.tokens.map((text, i) => {
      const line = element("tr", null);
      line.append(element("td", String(i + 1), { class: "n" }), element("td", text), element("td", figure(one.weights[i]), { class: "n" }));
      return line;
    }));
    const more = one.left_out ? `${one.left_out} tokens more are left out here. ` : "";
    byId("weighed-more").textContent = `${more}The largest weight is ${figure(Math.max(...one.weights))}, the least ${figure(Math.min(...one.weights))}.`;
  };
  if (byId("of-weighed")) {
    values.weighed.forEach((one, i) => byId("of-weighed").append(element("option", `step ${one.step}, sample ${one.sample} of ${one.domain}`, { value: i })));
    byId("of-weighed").value = String(values.weighed.length - 1);
    byId("of-weighed").addEventListener("change", shade);
    shade();
  }

  // ---- samples
  if (!byId("table")) return;
  const PAGE = 25;
  const rows = values.samples;
  for (const row of rows) {
    if (row.same !== undefined) row.pieces = rows[row.same].pieces;
    row.found = `${row.sample} ${row.domain} ${row.dataset} ${row.file} ${row.pieces.map((piece) => piece[1]).join(" ")}`.toLowerCase();
  }
  const scored = rows.some((row) => row.score !== null);
  const helpful = rows.some((row) => row.helps !== null);
  const targetOf = (row) => values.targets[row.helps.place];
  const answerOf = (pieces) => (pieces.find((piece) => piece[0] === "answer") || pieces[0] || ["", ""])[1].trim();
  const placeOf = (target) => (target.row ? `row ${target.row} of ${short(target.file)}` : `sample ${target.sample} of ${target.target}`);
  const short = (path) => path.split(/[\\/]/).pop();
  const COLUMNS = [
    ["decision", "decision", true, (row) => row.decision || "warm-up"],
    ...(scored ? [
      ["rank", "rank", true, (row) => (row.rank === null ? "–" : `${row.rank} / ${row.judged}`)],
      ["score", "score", true, (row) => (row.score === null ? "–" : Number(row.score).toPrecision(3))],
    ] : []),
    ...(rows.some((row) => row.loss !== null) ? [
      ["loss", "loss", true, (row) => (row.loss === null ? "–" : Number(row.loss).toPrecision(3))],
    ] : []),
    ["why", "why shown", false, null],
    ["domain", "domain", false, (row) => row.domain],
    ["tokens", "tokens", true, (row) => row.tokens],
    ["times", "times", true, (row) => row.times],
    ["sample", "sample", true, (row) => row.sample],
    ["file", "row of file", false, null],
    ...(helpful ? [["helps", "helps most", false, null]] : []),
    ...(rows.some((row) => row.pieces.length) ? [["text", "text", false, null]] : []),
  ];
  let sort = ["decision", -1];
  let limit = PAGE;

  const unfolded = (head, pieces) => {
    const details = element("details", null);
    details.append(element("summary", head));
    for (const [role, text] of pieces) {
      const piece = element("div", null, { class: `piece ${role === "answer" ? "answer" : "prompt"}` });
      piece.append(element("b", role), document.createTextNode(text));
      details.append(piece);
    }
    return details;
  };

  const helpsOf = (row) => {
    const box = document.createDocumentFragment();
    const target = targetOf(row);
    const answer = answerOf(target.pieces);
    box.append(answer ? unfolded(answer.slice(0, 60), target.pieces) : element("span", placeOf(target)));
    const means = Object.entries(row.helps.means).map(([name, mean]) => `${name} ${mean.toFixed(3)}`).join(", ");
    const said = `cosine ${row.helps.cosine.toFixed(3)}, ${placeOf(target)}; mean of ${means}`;
    box.append(element("span", said, { class: "where" }));
    return box;
  };

  const textOf = (row) => {
    const details = unfolded(answerOf(row.pieces).slice(0, 140) || "(no text)", row.pieces);
    const box = document.createDocumentFragment();
    box.append(details);
    if (row.cut) box.append(element("span", "fills cutoff_len: it may be cut", { class: "cut" }));
    if (row.left_out) box.append(element("span", `${row.left_out} characters more, left out here`, { class: "cut" }));
    return box;
  };

  const head = document.querySelector("#table thead tr");
  for (const [key, name, isNumber] of COLUMNS) {
    const cell = element("th", null, { scope: "col", "data-key": key, ...(isNumber ? { class: "n" } : {}) });
    const button = element("button", name, { type: "button" });
    button.addEventListener("click", () => {
      sort = sort[0] === key ? [key, -sort[1]] : [key, 1];
      limit = PAGE;
      fill();
    });
    cell.append(button);
    head.append(cell);
  }

  const options = (id, found, name) => {
    for (const value of [...new Set(found)]) byId(id).append(element("option", name(value), { value }));
    byId(id).addEventListener("change", () => { limit = PAGE; fill(); });
  };
  options("of-decision", rows.map((row) => row.decision).sort((a, b) => a - b), (value) => (value ? `decision ${value}` : "warm-up"));
  options("of-why", rows.flatMap((row) => row.why), (value) => value);
  options("of-domain", rows.map((row) => row.domain).sort(), (value) => value);
  byId("search").addEventListener("input", () => { limit = PAGE; fill(); });
  byId("more").addEventListener("click", () => { limit += 4 * PAGE; fill(); });

  const valueOf = (row, key) => {
    if (key === "text") return row.found;
    if (key === "why") return row.why.join();
    if (key === "helps") return row.helps === null ? null : row.helps.cosine;
    return row[key];
  };
  const compare = (key) => (one, other) => {
    const [a, b] = [one, other].map((row) => valueOf(row, key));
    if (a === b) return 0;
    if (a === null || b === null) return a === null ? 1 : -1;
    return (a < b ? -1 : 1) * sort[1];
  };

  const fill = () => {
    const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const [decision, why, domain] = ["of-decision", "of-why", "of-domain"].map((id) => byId(id).value);
    const found = rows.filter((row) =>
      words.every((word) => row.found.includes(word)) && (decision === "" || String(row.decision) === decision)
      && (why === "" || row.why.includes(why)) && (domain === "" || row.domain === domain));
    found.sort(compare(sort[0]));
    for (const cell of head.children) {
      if (cell.dataset.key === sort[0]) cell.setAttribute("aria-sort", sort[1] > 0 ? "ascending" : "descending");
      else cell.removeAttribute("aria-sort");
    }
    const body = document.querySelector("#table tbody");
    body.replaceChildren(...found.slice(0, limit).map((row) => {
      const line = element("tr", null, { "data-sample": row.sample });
      for (const [key, name, isNumber, of] of COLUMNS) {
        const cell = element("td", of ? String(of(row)) : null, { "data-label": name, ...(isNumber ? { class: "n" } : {}) });
        if (key === "why") cell.append(element("span", row.why.join(", ") + (row.chosen ? "" : ", not chosen"), { class: "why" }));
        if (key === "file") {
          cell.className = "where";
          cell.textContent = row.row ? `${row.row} of ${short(row.file)}` : "not known";
          cell.title = row.file;
        }
        if (key === "helps") {
          cell.className = "helps";
          if (row.helps === null) cell.textContent = "–";
          else cell.append(helpsOf(row));
        }
        if (key === "text") {
          cell.className = "text";
          cell.append(textOf(row));
        }
        line.append(cell);
      }
      return line;
    }));
    byId("found").textContent = `${found.length} of ${rows.length} rows${found.length > limit ? `, the first ${limit} shown` : ""}`;
    byId("more").hidden = found.length <= limit;
  };
  fill();
})();
