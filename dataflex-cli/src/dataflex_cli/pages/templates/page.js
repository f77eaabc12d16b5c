"use strict";
(() => {
  const root = document.documentElement;
  const byId = (id) => document.getElementById(id);
  const given = JSON.parse(byId("chart-values").textContent);

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
  const charts = new Map(given.map((chart) => [chart.id, chart]));
  const drawn = new Set();
  const at = new Map();

  const coloured = (value, palette) => {
    if (typeof value === "string" && value[0] === "@") {
      const name = value.slice(1);
      return /^\d+$/.test(name) ? palette.series[Number(name) % palette.series.length] : palette[name] || value;
    }
    if (Array.isArray(value)) return typeof value[0] === "number" ? value : value.map((item) => coloured(item, palette));
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, RAW.has(key) ? asWritten(item) : coloured(item, palette)]));
    }
    return value;
  };
  // Plotly takes a little markup in texts, and what users named is none.
  const asWritten = (value) => {
    if (typeof value === "string") return value.replace(/&/g, "&amp;").replace(/</g, "&lt;");
    if (Array.isArray(value)) return typeof value[0] === "number" ? value : value.map(asWritten);
    if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, asWritten(item)]));
    return value;
  };
  const RAW = new Set(["x", "y", "z", "name", "customdata", "text", "title"]);  // what users named may begin with @

  const layoutOf = (chart, palette) => {
    const given = coloured(chart.layout, palette);
    // Each axis makes room in one direction: where both did so in both, they might never agree.
    const axis = { gridcolor: palette.grid, zerolinecolor: palette.grid, linecolor: palette.grid, fixedrange: true, ticks: "outside", ticklen: 7, tickcolor: "rgba(0,0,0,0)" };
    const beside = given.yaxis && given.yaxis.title ? { title: { standoff: 10, ...given.yaxis.title } } : {};
    return {
      ...given,
      font: { family: "system-ui, -apple-system, Segoe UI, Roboto, DejaVu Sans, sans-serif", size: 12, color: palette.text },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      margin: { l: 48, r: 16, t: 12, b: 40 },
      xaxis: { ...axis, automargin: "height", ...(given.xaxis || {}) },
      yaxis: { ...axis, automargin: "width", ...(given.yaxis || {}), ...beside },
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

  for (const chart of given) {
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
})();
