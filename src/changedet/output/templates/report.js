"use strict";
Array.prototype.forEach.call(document.querySelectorAll(".viewer"), function (viewer) {
  var stage = viewer.querySelector(".stage");
  var controls = viewer.querySelector(".controls");
  var range = viewer.querySelector(".slider input");
  var outlinesBox = viewer.querySelector("input[type=checkbox]");
  var status = viewer.querySelector("[role=status]");
  var buttons = Array.prototype.slice.call(viewer.querySelectorAll("button[data-mode]"));
  var timer = 0;
  if (!stage || !range) { return; }
  function place(value) {
    var share = Math.max(0, Math.min(100, Number(value)));
    range.value = String(share);
    stage.style.setProperty("--p", share + "%");
    range.setAttribute("aria-valuetext", Math.round(share) + " % before, " + Math.round(100 - share) + " % after");
  }
  function flip() { stage.classList.toggle("flipped"); }
  function show(mode) {
    window.clearInterval(timer);
    timer = 0;
    stage.classList.remove("flipped");
    stage.dataset.mode = mode;
    range.parentElement.hidden = mode !== "swipe";
    buttons.forEach(function (button) {
      button.setAttribute("aria-pressed", String(button.dataset.mode === mode));
    });
    if (mode === "blink") {
      var still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
      status.textContent = still ? "Press Blink to change between the dates." : "Blinking; press Blink to stop.";
      if (!still) { timer = window.setInterval(flip, 900); }
    } else { status.textContent = ""; }
  }
  buttons.forEach(function (button) {
    button.addEventListener("click", function () {
      var mode = button.dataset.mode;
      if (mode !== "blink" || stage.dataset.mode !== "blink") { show(mode); return; }
      if (timer) { show("swipe"); } else { flip(); }
    });
  });
  range.addEventListener("input", function () { place(range.value); });
  outlinesBox.addEventListener("change", function () {
    stage.classList.toggle("bare", !outlinesBox.checked);
  });
  function drag(event) {
    if (stage.dataset.mode !== "swipe" || !(event.buttons & 1)) { return; }
    var box = stage.getBoundingClientRect();
    place(Math.round(100 * (event.clientX - box.left) / box.width));
    event.preventDefault();
  }
  stage.addEventListener("pointerdown", drag);
  stage.addEventListener("pointermove", drag);
  controls.hidden = false;
  place(50);
  show("swipe");
});
