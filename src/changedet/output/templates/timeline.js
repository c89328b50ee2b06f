"use strict";
(() => {
  const figures = [...document.querySelectorAll("#chips figure")];
  const slider = document.getElementById("which"), shown = document.getElementById("shown");
  const said = document.getElementById("said"), play = document.getElementById("play");
  let timer = 0;
  const show = (number) => {
    const at = (number + figures.length) % figures.length;
    const image = figures[at].querySelector("img");
    slider.value = String(at);
    shown.src = image.src;
    shown.alt = image.alt;
    said.textContent = figures[at].querySelector("figcaption").innerText.replace("\n", ", ");
    figures.forEach((one, other) => one.classList.toggle("now", other === at));
    document.querySelectorAll("svg.chart").forEach((svg) => {
      const dot = svg.querySelector(`circle[data-date="${at}"]`), line = svg.querySelector(".cursor");
      const x = dot ? dot.getAttribute("cx") : "-9";
      line.setAttribute("x1", x);
      line.setAttribute("x2", x);
    });
  };
  const stop = () => { clearInterval(timer); timer = 0; play.textContent = "Play"; play.setAttribute("aria-pressed", "false"); };
  const step = (by) => { stop(); show(Number(slider.value) + by); };
  document.getElementById("flip").hidden = false;
  slider.addEventListener("input", () => { stop(); show(Number(slider.value)); });
  document.getElementById("back").addEventListener("click", () => step(-1));
  document.getElementById("next").addEventListener("click", () => step(1));
  play.addEventListener("click", () => {
    if (timer) { stop(); return; }
    play.textContent = "Pause";
    play.setAttribute("aria-pressed", "true");
    timer = setInterval(() => show(Number(slider.value) + 1), 700);
  });
  figures.forEach((one, number) => one.addEventListener("click", () => { stop(); show(number); }));
  document.querySelectorAll("circle[data-date]").forEach((dot) => dot.addEventListener("click", () => { stop(); show(Number(dot.dataset.date)); }));
  show(figures.length - 1);
})();
