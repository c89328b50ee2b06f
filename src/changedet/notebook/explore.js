// The widget of a notebook: two dates on one stage (viewer.js), a score that is recoloured here, candidates, verdicts.
// Every text from outside is set as text, never read as HTML.
const HIT = [255, 0, 200];
const GREYS = [[158, 158, 158], [206, 206, 206]];
const VERDICTS = { a: "accepted", r: "rejected", u: "unsure" };

function make(tag, properties = {}, ...children) {
  const svg = ["svg", "g", "path"].includes(tag);
  const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) { node.addEventListener(name.slice(2), value); }
    else if (name in node && !svg && name !== "list") { node[name] = value; }
    else { node.setAttribute(name, value); }
  }
  node.append(...children);
  return node;
}

function choice(label, names, chosen, onchange) {
  const options = names.map((name, index) => make("option", { value: String(index), textContent: name, selected: index === chosen }));
  return make("label", {}, label, " ", make("select", { "aria-label": label, onchange }, ...options));
}

function slider(label, properties) {
  const range = make("input", { type: "range", ...properties });
  const said = make("output", {});
  return { range, said, row: make("label", { className: "knob" }, make("span", { textContent: label }), range, said) };
}

// Both layers hold the same things, so that any of them can be shown alone, cut or side by side.
function makeLayer(side, columns, rows) {
  const image = make("img", { alt: "" });
  const canvas = make("canvas", { className: "score" });
  const lines = make("svg", { class: "lines", viewBox: `0 0 ${columns} ${rows}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  const tags = make("div", { className: "tags" });
  const label = make("span", { className: "label" });
  const node = make("div", { className: `layer ${side}` }, make("div", { className: "world" }, image, canvas, lines, tags), label);
  return { node, image, canvas, lines, tags, label };
}

function makeStage(about) {
  const before = makeLayer("before", about.columns, about.rows), after = makeLayer("after", about.columns, about.rows);
  const modes = { swipe: "Swipe", blink: "Blink", overlay: "Overlay", side: "Side by side" };
  const buttons = Object.entries(modes).map(([mode, text]) => make("button", { type: "button", "data-mode": mode, textContent: text }));
  const controls = make("div", { className: "controls", role: "group", "aria-label": "How to compare" }, ...buttons,
    make("label", {}, make("input", { type: "checkbox", checked: true }), " Outlines"), make("span", { role: "status" }));
  const divider = make("label", { className: "slider" }, make("span", {}), make("input", { type: "range", min: "0", max: "100", step: "1" }));
  const stage = make("div", { className: "stage", tabIndex: 0, role: "group", "aria-label": "Before and after" }, before.node, after.node,
    make("div", { className: "rule", "aria-hidden": "true" }));
  stage.style.setProperty("--aspect", String(about.aspect));
  divider.style.setProperty("--aspect", String(about.aspect));
  return { before, after, controls, divider, stage, root: make("div", { className: "viewer" }, controls, divider, stage) };
}

// Zoom: a scale and the place in the middle, as shares of the picture; both layers follow.
function makeZoom(stage) {
  let scale = 1, x = 0.5, y = 0.5;
  const inside = (value) => Math.min(Math.max(value, 0.5 / scale), 1 - 0.5 / scale);
  function apply() {
    x = inside(x); y = inside(y);
    stage.style.setProperty("--s", String(scale));
    stage.style.setProperty("--tx", `${(0.5 - x * scale) * 100}%`);
    stage.style.setProperty("--ty", `${(0.5 - y * scale) * 100}%`);
  }
  return {
    to(where, factor) { [x, y] = where; scale = Math.min(Math.max(factor, 1), 40); apply(); },
    by(factor) { scale = Math.min(Math.max(scale * factor, 1), 40); apply(); },
    whole() { scale = 1; apply(); },
  };
}

// The score: codes of two bytes, 0 = not judged. Colours come from a table of all codes that is made anew at each change.
function makePainter(model, about, canvases) {
  const bytes = (name) => { const view = model.get(name); return view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength); };
  const codes = new Uint16Array(bytes("_score")), state = new Uint8Array(bytes("_state"));
  const [width, height] = [about.sent_columns, about.sent_rows];
  const colours = about.colours, table = new Uint8ClampedArray(65536 * 4);
  const picture = new ImageData(width, height);
  const valueOf = (code) => about.low + (code - 1) * (about.high - about.low) / 65534;
  for (const canvas of canvases) { canvas.width = width; canvas.height = height; }

  function fillTable(threshold, mode, opacity) {
    const span = about.drawn_high - about.drawn_low;
    for (let code = 1; code < 65536; code++) {
      const value = valueOf(code), above = value > threshold, at = code * 4;
      const shade = mode === 1 ? colours[Math.max(0, Math.min(255, Math.round(255 * (value - about.drawn_low) / span)))] : HIT;
      table.set(shade, at);
      table[at + 3] = opacity * (above ? 255 : mode === 1 ? 120 : 0);
    }
  }
  function unjudged(index) {
    const column = index % width, row = (index - column) / width;
    const dark = (row + column) % 8 < 2 || (state[index] === about.states.not_comparable && (row - column + 8 * width) % 8 < 2);
    return GREYS[dark ? 0 : 1];
  }
  return function paint(threshold, mode, opacity) {
    fillTable(threshold, mode, opacity);
    const data = picture.data;
    let above = 0, judged = 0;
    for (let index = 0; index < codes.length; index++) {
      const code = codes[index], at = index * 4, outside = state[index] === about.states.outside;
      if (code === 0 || outside) {
        const grey = unjudged(index);
        data[at] = grey[0]; data[at + 1] = grey[1]; data[at + 2] = grey[2]; data[at + 3] = outside ? 0 : 190;
        continue;
      }
      const from = code * 4;
      judged++;
      if (valueOf(code) > threshold) { above++; }
      data[at] = table[from]; data[at + 1] = table[from + 1]; data[at + 2] = table[from + 2]; data[at + 3] = table[from + 3];
    }
    for (const canvas of canvases) { canvas.getContext("2d").putImageData(picture, 0, 0); canvas.hidden = mode === 2; }
    return judged ? above / judged : 0;
  };
}

function showPictures(parts, pictures, words) {
  for (const side of ["before", "after"]) {
    parts[side].image.src = pictures[side];
    parts[side].image.alt = `${side}, ${words[side]}`;
    parts[side].label.textContent = `${side.toUpperCase()} ${words[side]}`;
  }
}

function drawObjects(parts, objects, chosen, least) {
  for (const side of ["before", "after"]) {
    const { lines, tags } = parts[side];
    const shown = objects.filter((one) => one.area_m2 >= least);
    lines.replaceChildren(...shown.flatMap((one) => [
      make("path", { class: one.id === chosen ? "rim chosen" : "rim", d: one.path }),
      make("path", { class: one.id === chosen ? "ink chosen" : "ink", d: one.path, stroke: one.colour }),
    ]));
    const [, , columns, rows] = lines.getAttribute("viewBox").split(" ").map(Number);
    tags.replaceChildren(...shown.filter((one) => one.id === chosen || one.id <= 20).map((one) => {
      const tag = make("span", { className: "tag", textContent: String(one.id) });
      tag.style.left = `${100 * one.box[2] / columns}%`;
      tag.style.top = `${100 * one.box[1] / rows}%`;
      return tag;
    }));
  }
}

function factsOf(one) {
  const rows = [["Consistent with", (one.kind ?? "").replace("consistent with ", "")], ["Area", one.area], ["Place", `${one.where} · MGRS ${one.mgrs}`],
    ["Confidence", one.confidence], ["Score", one.score], ["Evidence", one.evidence], ["Beware", one.warnings]];
  const known = rows.filter(([, text]) => text);
  if (!one.kind) { known.unshift(["Blind", "kind, score and confidence are shown after your verdict"]); }
  return make("dl", {}, ...known.flatMap(([label, text]) => [make("dt", { textContent: label }), make("dd", { textContent: text })]));
}

function renderDates(model, el, about) {
  const parts = makeStage(about), dates = about.dates, zoom = makeZoom(parts.stage);
  const selects = {};
  function show() {
    const at = { before: model.get("before"), after: model.get("after") };
    const words = { before: dates[at.before].time, after: dates[at.after].time };
    showPictures(parts, { before: model.get("_pictures")[at.before], after: model.get("_pictures")[at.after] }, words);
    for (const side of ["before", "after"]) { selects[side].querySelector("select").value = String(at[side]); }
    strip.querySelectorAll("button").forEach((button, index) => {
      button.setAttribute("aria-pressed", String(index === at.after));
      button.dataset.side = index === at.before ? "before" : "";
    });
  }
  function set(side, index) {
    model.set(side, Math.max(0, Math.min(dates.length - 1, index)));
    model.save_changes();
    show();
  }
  for (const side of ["before", "after"]) {
    selects[side] = choice(side === "before" ? "Before" : "After", dates.map((one) => `${one.time} · ${one.note}`), 0, (event) => set(side, Number(event.target.value)));
  }
  const strip = make("div", { className: "strip", role: "group", "aria-label": "Dates" }, ...dates.map((one, index) => make("button",
    { type: "button", title: one.id, onclick: (event) => set(event.shiftKey ? "before" : "after", index) },
    make("img", { src: model.get("_pictures")[index], alt: "" }), make("span", { textContent: one.date }), make("span", { className: "soft", textContent: one.note }))));
  const help = make("p", { className: "soft", textContent: "Click a date to see it as after, with Shift as before. Keys: n and p change the date after, + - 0 zoom." });
  parts.controls.querySelector("input").parentElement.hidden = true; // dates have no outlines
  const root = make("div", { className: "changedet-explore", "data-lm-suppress-shortcuts": "true" }, make("p", { className: "title", textContent: about.title }),
    ...(about.simulated ? [make("p", { className: "alarm", textContent: about.simulated })] : []), make("div", { className: "row" }, selects.before, selects.after), parts.root, strip, help,
    make("p", { className: "soft", textContent: about.credit }));
  listen(root, { n: () => set("after", model.get("after") + 1), p: () => set("after", model.get("after") - 1), "+": () => zoom.by(1.5), "-": () => zoom.by(1 / 1.5), 0: zoom.whole });
  el.append(root);
  startViewer(parts.root);
  show();
  model.on("change:before change:after", show);
  return () => { model.off("change:before change:after", show); parts.controls.querySelector("[data-mode=swipe]").click(); };
}

// Keys work wherever the focus is inside, apart from fields in which one writes.
function listen(root, keys) {
  root.addEventListener("keydown", (event) => {
    const writing = event.target.matches("textarea, select, input:not([type=range]):not([type=checkbox])");
    event.stopPropagation();
    if (writing || event.ctrlKey || event.metaKey || event.altKey || !(event.key in keys)) { return; }
    event.preventDefault();
    keys[event.key]();
  });
}

function renderResult(model, el, about) {
  const parts = makeStage(about), zoom = makeZoom(parts.stage), paint = makePainter(model, about, [parts.before.canvas, parts.after.canvas]);
  const span = [model.get("_limits")[0], model.get("_limits")[1]], steps = 1000;
  const cut = slider("Threshold", { min: "0", max: String(steps), step: "1", "aria-label": "Threshold of the score" });
  const least = slider("Smallest object", { min: "0", max: "60", step: "1", "aria-label": "Smallest object" });
  const veil = slider("Opacity of the score", { min: "0", max: "100", step: "5", value: "45", "aria-label": "Opacity of the score" });
  const count = make("p", { className: "count", role: "status" }), said = make("p", { className: "said", role: "status" }), stretch = make("p", { className: "soft" });
  const details = make("div", { className: "details" }), list = make("div", { className: "list", role: "group", "aria-label": "Candidates" });
  const note = make("textarea", { rows: 2, maxLength: 2000, placeholder: "Why, in a sentence" }), reviewer = make("input", { maxLength: 80, placeholder: "Your name", value: model.get("reviewer") });
  let mode = 0;

  // the smallest object is chosen on a scale on which each step adds a tenth
  const pixel = about.pixel_m2, areaOf = (step) => step === 0 ? pixel : Math.round(pixel * 1.1 ** step * 1.0);
  const stepOf = (area) => Math.round(Math.log(Math.max(area, pixel) / pixel) / Math.log(1.1));
  const threshold = () => span[0] + Number(cut.range.value) / steps * (span[1] - span[0]);
  // the sliders say what is exact, as a slider has only so many places
  let exact = model.get("threshold"), exactArea = model.get("min_area_m2");

  function repaint() {
    const share = paint(exact, mode, Number(veil.range.value) / 100), spread = about.mad ? `, ${((exact - about.median) / about.mad).toFixed(1)} spreads above background` : "";
    cut.said.textContent = `${exact.toPrecision(3)}${spread}; ${(100 * share).toFixed(2)} % of ground above`;
    veil.said.textContent = `${veil.range.value} %`;
  }
  function outline() {
    least.said.textContent = exactArea >= 10000 ? `${(exactArea / 10000).toFixed(2)} ha` : `${Math.round(exactArea)} m²`;
    drawObjects(parts, model.get("_objects"), model.get("chosen"), exactArea);
  }
  function knobs() {
    exact = model.get("threshold"); exactArea = model.get("min_area_m2");
    cut.range.value = String(Math.round(steps * (exact - span[0]) / (span[1] - span[0])));
    least.range.value = String(stepOf(exactArea));
    cut.range.disabled = least.range.disabled = !about.movable;
    repaint(); outline();
  }
  function send(name, value) { count.textContent = "counting candidates …"; model.set(name, value); model.save_changes(); }
  cut.range.addEventListener("input", () => { exact = threshold(); repaint(); });
  cut.range.addEventListener("change", () => send("threshold", exact));
  least.range.addEventListener("input", () => { exactArea = areaOf(Number(least.range.value)); outline(); });
  least.range.addEventListener("change", () => send("min_area_m2", exactArea));
  veil.range.addEventListener("input", repaint);

  const objects = () => model.get("_objects"), chosen = () => objects().find((one) => one.id === model.get("chosen"));
  function choose(id) { model.set("chosen", id); model.save_changes(); showObjects(true); }
  function step(by) {
    const all = objects(), at = all.findIndex((one) => one.id === model.get("chosen"));
    if (all.length) { choose(all[(at + by + all.length + (at < 0 && by < 0 ? 1 : 0)) % all.length].id); }
  }
  function showObjects(near) {
    const one = chosen(), verdicts = model.get("_verdicts"), counted = model.get("_counted");
    count.textContent = counted.text;
    list.replaceChildren(...objects().map((each) => make("button", { type: "button", onclick: () => choose(each.id),
      "aria-pressed": String(each.id === model.get("chosen")),
      textContent: [each.id, (each.kind ?? "candidate").replace("consistent with ", ""), each.area, counted.recorded ? verdicts[each.id]?.verdict : ""].filter(Boolean).join(" · ") })));
    const row = list.querySelector("[aria-pressed=true]");
    if (row) { list.scrollTop = row.offsetTop - list.offsetTop - list.clientHeight / 2; }
    details.replaceChildren(one ? factsOf(one) : make("p", { className: "soft", textContent: "No candidate is chosen: press n for the next, p for the previous one." }));
    const given = one && counted.recorded ? verdicts[one.id] : null;
    if (given) { details.append(make("p", { textContent: `${given.verdict} by ${given.reviewer}, ${given.time}${given.note ? `: ${given.note}` : ""}` })); }
    for (const button of judge.querySelectorAll("button")) {
      button.disabled = !one || !counted.recorded;
      button.setAttribute("aria-pressed", String(given?.verdict === button.dataset.verdict));
    }
    hint.textContent = counted.recorded ? "" : "Verdicts are given on the candidates of the run: press Recorded settings to judge.";
    outline();
    if (near && one) {
      const middle = [(one.box[0] + one.box[2]) / 2 / about.columns, (one.box[1] + one.box[3]) / 2 / about.rows];
      const share = Math.max((one.box[2] - one.box[0]) / about.columns, (one.box[3] - one.box[1]) / about.rows);
      zoom.to(middle, Math.min(0.35 / Math.max(share, 1e-3), Math.max(1, about.columns / 60)));
    }
  }
  function give(verdict) {
    if (!chosen() || !model.get("_counted").recorded) { return; }
    said.textContent = "";
    model.send({ kind: "verdict", object: model.get("chosen"), verdict, note: note.value, reviewer: reviewer.value });
  }
  const hint = make("p", { className: "soft" });
  const judge = make("div", { className: "row" }, ...Object.entries(VERDICTS).map(([key, word]) => make("button",
    { type: "button", "data-verdict": word, textContent: `${word[0].toUpperCase()}${word.slice(1)} (${key})`, onclick: () => give(word) })));
  const walk = make("div", { className: "row" }, make("button", { type: "button", textContent: "Previous (p)", onclick: () => step(-1) }),
    make("button", { type: "button", textContent: "Next (n)", onclick: () => step(1) }), make("button", { type: "button", textContent: "Whole site (0)", onclick: zoom.whole }));
  const back = make("button", { type: "button", textContent: "Recorded settings", disabled: !about.movable,
    onclick: () => { count.textContent = "counting candidates …"; model.set("threshold", about.recorded[0]); model.set("min_area_m2", about.recorded[1]); model.save_changes(); } });
  const bands = choice("Picture", about.pictures, about.pictures.indexOf(model.get("combination")), (event) => {
    model.set("combination", about.pictures[Number(event.target.value)]); model.save_changes(); });
  const colour = choice("Score", ["above the threshold", "as colours", "not shown"], 0, (event) => { mode = Number(event.target.value); repaint(); });
  function redraw() { const pictures = model.get("_pictures"); showPictures(parts, pictures, about); stretch.textContent = `${pictures.stretch}.`; }
  function speak() { said.textContent = model.get("_said").text; said.classList.toggle("wrong", Boolean(model.get("_said").wrong)); if (!model.get("_said").wrong) { note.value = ""; } }

  const root = make("div", { className: "changedet-explore", "data-lm-suppress-shortcuts": "true" },
    ...(about.simulated ? [make("p", { className: "alarm", textContent: about.simulated })] : []),
    make("p", { className: "title", textContent: about.finding }),
    make("div", { className: "row" }, bands, colour), parts.root, cut.row, least.row, veil.row, make("div", { className: "row" }, back, count),
    make("div", { className: "panes" }, make("div", {}, walk, list), make("div", {}, details, judge, hint,
      make("label", { className: "field" }, "Note", note), make("label", { className: "field" }, "Reviewer", reviewer), said)),
    ...(about.notes.length ? [make("details", {}, make("summary", { textContent: `Before you use this (${about.notes.length})` }), make("ul", {}, ...about.notes.map((text) => make("li", { textContent: text }))))] : []),
    stretch, make("p", { className: "soft", textContent: `Pink: score above the threshold. Hatched: not judged. ${about.not_flagged} ${about.credit}. Keys: n p next and previous candidate, a r u verdict, b blink, + - 0 zoom.` }));
  const press = (name) => () => parts.controls.querySelector(`[data-mode=${name}]`).click();
  listen(root, { n: () => step(1), p: () => step(-1), a: () => give("accepted"), r: () => give("rejected"), u: () => give("unsure"), b: press("blink"), s: press("swipe"),
    "+": () => zoom.by(1.5), "-": () => zoom.by(1 / 1.5), 0: zoom.whole });
  el.append(root);
  startViewer(parts.root);
  const heard = { "change:_pictures": redraw, "change:_objects": () => showObjects(false), "change:_counted": () => showObjects(false), "change:_verdicts": () => showObjects(false),
    "change:chosen": () => showObjects(true), "change:threshold": knobs, "change:min_area_m2": knobs, "change:_said": speak };
  for (const [name, heed] of Object.entries(heard)) { model.on(name, heed); }
  redraw(); knobs(); showObjects(false);
  return () => { for (const [name, heed] of Object.entries(heard)) { model.off(name, heed); } press("swipe")(); };
}

function render({ model, el }) {
  const about = model.get("_about");
  return about.dates ? renderDates(model, el, about) : renderResult(model, el, about);
}
export default { render };
