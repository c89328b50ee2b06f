"use strict";
// Two pictures of the same ground on one stage: swipe, blink, overlay, side by side.
// `root` holds .stage, .controls, .slider with an input, buttons with data-mode, a checkbox and [role=status].
function startViewer(root) {
  const find = (selector) => root.querySelector(selector);
  const stage = find(".stage"), slider = find(".slider"), range = find(".slider input"), status = find("[role=status]");
  const buttons = [...root.querySelectorAll("button[data-mode]")];
  const sliders = {
    swipe: { label: "Divider: left of it before, right of it after", start: 50, said: (v) => `${v} % before, ${100 - v} % after` },
    overlay: { label: "After over before: how much of the after image shows", start: 50, said: (v) => `${v} % of the after image` },
  };
  const kept = {};
  let timer = 0;

  function place(value) {
    const share = Math.round(Math.max(0, Math.min(100, Number(value))));
    const mode = stage.dataset.mode;
    kept[mode] = share;
    range.value = String(share);
    stage.style.setProperty("--p", `${share}%`);
    range.setAttribute("aria-valuetext", sliders[mode].said(share));
  }
  function flip() { stage.classList.toggle("flipped"); }
  function show(mode) {
    clearInterval(timer);
    timer = 0;
    stage.classList.remove("flipped");
    stage.dataset.mode = mode;
    for (const button of buttons) { button.setAttribute("aria-pressed", String(button.dataset.mode === mode)); }
    slider.hidden = !(mode in sliders);
    if (!slider.hidden) {
      slider.querySelector("span").textContent = `${sliders[mode].label} (arrow keys move it)`;
      range.setAttribute("aria-label", sliders[mode].label);
      place(kept[mode] ?? sliders[mode].start);
    }
    status.textContent = "";
    if (mode !== "blink") { return; }
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    status.textContent = still ? "Press Blink to change between the dates." : "Blinking; press Blink to stop.";
    if (!still) { timer = setInterval(flip, 900); }
  }
  for (const button of buttons) {
    button.addEventListener("click", () => {
      const mode = button.dataset.mode;
      if (mode !== "blink" || stage.dataset.mode !== "blink") { show(mode); return; }
      if (timer) { show("swipe"); } else { flip(); }
    });
  }
  function drag(event) {
    if (stage.dataset.mode !== "swipe" || !(event.buttons & 1)) { return; }
    const box = stage.getBoundingClientRect();
    place((100 * (event.clientX - box.left)) / box.width);
    event.preventDefault();
  }
  range.addEventListener("input", () => place(range.value));
  find("input[type=checkbox]").addEventListener("change", (event) => stage.classList.toggle("bare", !event.target.checked));
  stage.addEventListener("pointerdown", drag);
  stage.addEventListener("pointermove", drag);
  find(".controls").hidden = false;
  show("swipe");
}
