// Conveniences of the console. Every page works without them.

// "/" moves to the search box, Escape leaves it.
const search = document.getElementById("search");
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
  if (event.key === "/" && search && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    search.focus();
    search.select();
  } else if (event.key === "Escape" && event.target === search) {
    search.blur();
  }
});

// Filters apply as soon as they are chosen.
for (const form of document.querySelectorAll("form.search")) {
  const button = form.querySelector("button");
  const lists = form.querySelectorAll("select");
  for (const list of lists) list.addEventListener("change", () => form.requestSubmit());
  if (lists.length && !form.querySelector("#search")) button.hidden = true;
}

// Commands can be copied.
for (const block of document.querySelectorAll("pre[data-copy]")) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "slim";
  button.textContent = "Copy";
  const words = block.querySelector("code").textContent;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(words);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Not copied";
    }
  });
  block.append(button);
}

// A check box in the head of a table selects all of its rows.
for (const head of document.querySelectorAll("thead .tick")) {
  const boxes = [...head.closest("table").querySelectorAll("tbody .tick input")];
  if (!boxes.length) continue;
  const label = document.createElement("label");
  const all = document.createElement("input");
  all.type = "checkbox";
  all.setAttribute("aria-label", "Select all on this page");
  label.append(all);
  head.append(label);
  const show = () => {
    const chosen = boxes.filter((box) => box.checked).length;
    all.checked = chosen === boxes.length;
    all.indeterminate = chosen > 0 && !all.checked;
    const words = document.querySelector("[data-chosen]");
    if (words) words.textContent = chosen ? `${chosen} selected` : "";
  };
  all.addEventListener("change", () => {
    for (const box of boxes) box.checked = all.checked;
    show();
  });
  for (const box of boxes) box.addEventListener("change", show);
  show();
}

// A form is sent once, however often its button is pressed.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post") return;
  if (form.dataset.sent) event.preventDefault();
  form.dataset.sent = "yes";
});
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});

// Times in the browser's time zone where the account names none. The server has written them in UTC.
const format = new Intl.DateTimeFormat(navigator.languages.find((l) => l.startsWith("en")) ?? "en-GB", {
  day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZoneName: "short",
});
for (const time of document.querySelectorAll("time[data-local]")) {
  const part = Object.fromEntries(format.formatToParts(new Date(time.dateTime)).map(({ type, value }) => [type, value]));
  const words = `${part.day} ${part.month} ${part.year}, ${part.hour}:${part.minute} ${part.timeZoneName}`;
  if (time.dataset.local === "exact") time.textContent = words;
  else time.title = words;
}
