// Helps to choose a password: marks the rules that are met while a person types, shows how strong the password is, and
// makes one. Without it the page is complete, and the server checks everything again.
const tests = {
  length: (text, count) => [...text].length >= count,
  uppercase: (text) => /\p{Lu}/u.test(text),
  lowercase: (text) => /\p{Ll}/u.test(text),
  number: (text) => /\p{Nd}/u.test(text),
  special: (text) => /[^\p{L}\p{N}\p{M}]/u.test(text),
};
const letters = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"; // none that look alike

function random(length) {
  let text = "";
  while (text.length < length) {
    for (const byte of crypto.getRandomValues(new Uint8Array(length))) {
      if (byte < letters.length * 4 && text.length < length) text += letters[byte % letters.length];
    }
  }
  return text;
}

for (const box of document.querySelectorAll("[data-choose]")) {
  const input = document.querySelector('[aria-describedby~="rules"]');
  const list = box.querySelector(".rules");
  const rules = [...list.querySelectorAll("[data-rule]")].map((item) => ({
    item,
    code: item.dataset.rule,
    test: tests[item.dataset.rule],
    count: Number(item.dataset.count ?? 0),
  }));
  const strength = box.querySelector(".strength");
  const status = box.querySelector("[role=status]");
  let timer, call;

  const mark = (rule, met) => { // met is undefined where nothing is known yet
    rule.met = met;
    rule.item.classList.toggle("met", met === true);
    rule.item.classList.toggle("unmet", met === false);
    rule.item.querySelector(".unseen")?.remove();
    if (met === undefined) return;
    const word = document.createElement("span");
    word.className = "unseen";
    word.textContent = (met ? list.dataset.met : list.dataset.unmet) + " ";
    rule.item.prepend(word);
  };
  const grade = (level) => {
    strength.hidden = !level;
    strength.dataset.level = level ?? "";
    strength.textContent = level ? strength.dataset[level] : "";
  };
  const announce = () => {
    const met = rules.filter((rule) => rule.met).length;
    const text = status.dataset.text.replace("%1", met).replace("%2", rules.length);
    status.textContent = `${text} ${strength.textContent}`.trim();
  };
  const named = (name) => input.form?.elements[name]?.value ?? "";

  async function ask(text) {
    call = new AbortController();
    const answer = await fetch(box.dataset.choose, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({
        password: text, email: named("email"), username: named("username"), name: named("name"),
      }),
      signal: call.signal,
    });
    if (!answer.ok) return; // too many questions, or the server is busy
    const found = await answer.json();
    for (const rule of rules) if (!rule.test) mark(rule, !found.unmet.includes(rule.code));
    grade(rules.every((rule) => rule.met) ? found.strength : "weak");
  }

  input?.addEventListener("input", () => {
    clearTimeout(timer);
    call?.abort();
    const text = input.value;
    for (const rule of rules) mark(rule, text && rule.test ? rule.test(text.normalize("NFC"), rule.count) : undefined);
    grade();
    if (!text) {
      status.textContent = "";
      return;
    }
    timer = setTimeout(async () => {
      if (rules.every((rule) => rule.met !== false)) await ask(text).catch(() => {});
      if (input.value === text) announce();
    }, 500);
  });

  const button = document.createElement("button");
  button.type = "button";
  button.className = "slim";
  button.textContent = box.dataset.suggest;
  if (input) list.after(button);
  button.addEventListener("click", () => {
    const least = rules.find((rule) => rule.code === "length")?.count ?? 0;
    let text;
    do {
      text = Array.from({ length: Math.max(4, Math.ceil((least + 1) / 6)) }, () => random(5)).join("-");
    } while (!rules.every((rule) => !rule.test || rule.test(text, rule.count)));
    for (const field of [input, ...["confirm_password", "password_confirmation"].map((name) => input.form?.elements[name])]) {
      if (!field) continue;
      field.value = text;
      field.dispatchEvent(new Event("input", { bubbles: true }));
    }
    if (input.type === "password") input.parentElement.querySelector(".reveal")?.click(); // to be read and written down
    input.focus();
  });
}
