"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const values = JSON.parse(byId("row-values").textContent);

  // ---- proportions to paste
  if (byId("copy")) byId("copy").addEventListener("click", async () => {
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
    const named = (one) => `step ${one.step}, sample ${one.sample}${one.part ? `, part ${one.part}` : ""} of ${one.domain}`;
    values.weighed.forEach((one, i) => byId("of-weighed").append(element("option", named(one), { value: i })));
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
  const begun = (text, most) => { const all = [...text]; return all.length > most ? `${all.slice(0, most).join("").trimEnd()}…` : text; };
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
    box.append(answer ? unfolded(begun(answer, 60), target.pieces) : element("span", placeOf(target)));
    const means = Object.entries(row.helps.means).map(([name, mean]) => `${name} ${mean.toFixed(3)}`).join(", ");
    const said = `cosine ${row.helps.cosine.toFixed(3)}, ${placeOf(target)}; mean of ${means}`;
    box.append(element("span", said, { class: "where" }));
    return box;
  };

  const textOf = (row) => {
    const details = unfolded(begun(answerOf(row.pieces), 140) || "(no text)", row.pieces);
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
        if (key === "why") {
          const whys = element("div", null, { class: "why" });
          whys.append(...[...row.why, ...(row.chosen ? [] : ["not chosen"])].map((why) => element("span", why)));
          cell.append(whys);
        }
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
