// Verdicts on the candidates of this page. They leave it as a file, or by the clipboard.
function startReview(panel) {
  const find = (selector) => panel.querySelector(selector);
  const reviewer = find("#reviewer"), status = find("#review-status");
  const rows = [...document.querySelectorAll("tr[data-number]")];
  const heading = document.querySelector("#h-objects"), ordered = heading.textContent;
  const given = new Map(rows.map((row) => [row, []]));
  let unsaved = false;

  const isBlind = (row) => document.body.classList.contains("blind") && !row.classList.contains("seen");
  const now = () => `${new Date().toISOString().slice(0, 19)}Z`;
  const judged = () => rows.filter((row) => given.get(row).length).length;

  function tell(row) {
    const last = given.get(row).at(-1);
    for (const button of row.querySelectorAll("[data-verdict]")) {
      button.setAttribute("aria-pressed", String(button.dataset.verdict === last?.verdict));
    }
    status.textContent = `${judged()} of ${rows.length} judged`;
  }
  // a blind verdict stays as it was said; any other is replaced by what is said next
  function say(row, verdict) {
    const list = given.get(row), blind = isBlind(row);
    const last = list.at(-1);
    const taken = last?.verdict === verdict && last.note === noteOf(row);
    if (last && !last.blind) { list.pop(); }
    if (!taken) { list.push({ verdict, note: noteOf(row), blind, time_utc: now() }); }
    row.classList.add("seen");
    unsaved = true;
    tell(row);
  }
  function noteOf(row) { return row.querySelector(".judge input").value.trim(); }

  function documentText() {
    const verdicts = rows.flatMap((row) =>
      given.get(row).map((one) => ({ number: Number(row.dataset.number), ...one, reviewer: reviewer.value.trim() })));
    verdicts.sort((a, b) => a.number - b.number);
    const head = { schema: "changedet.verdicts/1", site: panel.dataset.site, objects_sha256: panel.dataset.objects };
    return `${JSON.stringify({ ...head, verdicts }, null, 1)}\n`;
  }
  function ready() {
    const missing = !judged() ? "Nothing is judged yet." : !reviewer.value.trim() ? "Say who judges first." : "";
    if (missing) { status.textContent = missing; }
    if (missing && judged()) { reviewer.focus(); }
    return !missing;
  }
  function save() {
    if (!ready()) { return; }
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([documentText()], { type: "application/json" }));
    link.download = panel.dataset.file;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    unsaved = false;
    status.textContent = `${judged()} of ${rows.length} judged; saved as ${link.download}`;
  }
  async function copy() {
    if (!ready()) { return; }
    const done = await copyText(documentText());
    unsaved = unsaved && !done;
    status.textContent = done ? `copied: keep it as ${panel.dataset.file}` : "could not be copied: save it as a file";
  }
  // by position, so that the order tells no rank
  function arrange() {
    const blind = location.hash === "#blind";
    document.body.classList.toggle("blind", blind);
    heading.textContent = blind ? "Candidates, by position" : ordered;
    const key = (row) => (blind ? row.querySelector("[data-copy]")?.dataset.copy ?? "" : row.dataset.number);
    const sorted = [...rows].sort((a, b) => key(a).localeCompare(key(b), "en", { numeric: true }));
    rows[0].parentElement.append(...sorted);
    if (!blind) { for (const row of rows) { row.classList.add("seen"); } }
  }
  for (const row of rows) {
    row.querySelector(".judge").hidden = false;
    for (const button of row.querySelectorAll("[data-verdict]")) {
      button.addEventListener("click", () => say(row, button.dataset.verdict));
    }
    row.querySelector(".judge input").addEventListener("change", () => {
      const last = given.get(row).at(-1);
      if (last && last.note !== noteOf(row)) { say(row, last.verdict); }
    });
  }
  find("#save-verdicts").addEventListener("click", save);
  find("#copy-verdicts").addEventListener("click", copy);
  addEventListener("hashchange", arrange);
  addEventListener("beforeunload", (event) => { if (unsaved) { event.preventDefault(); } });
  panel.hidden = false;
  arrange();
}
