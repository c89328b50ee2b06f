// Texts that can be copied: buttons with data-copy; [role=status] of the same data-copies says what came of it.
async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // without permission, or in a page that is not trusted with the clipboard: the old way
    const field = document.createElement("textarea");
    field.value = text;
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
  }
}
function startCopying(button) {
  const status = button.closest("[data-copies]").querySelector("[role=status]");
  button.hidden = false;
  button.addEventListener("click", async () => {
    const done = await copyText(button.dataset.copy);
    button.focus();
    status.textContent = done ? `copied ${button.dataset.copy}` : "could not be copied: select it by hand";
    setTimeout(() => { status.textContent = ""; }, 4000);
  });
}
