document.querySelectorAll(".viewer").forEach(startViewer);
document.querySelectorAll("button[data-copy]").forEach(startCopying);
document.querySelectorAll("#review").forEach(startReview);
// paper has nothing to click on: all that is folded is printed
addEventListener("beforeprint", () => document.querySelectorAll("details:not([open])").forEach((one) => {
  one.open = true;
  addEventListener("afterprint", () => { one.open = false; }, { once: true });
}));
