// Tells the device what the server knows about its passkeys.
for (const { dataset } of document.querySelectorAll("[data-passkey-signal]")) {
  window.PublicKeyCredential?.[dataset.passkeySignal]?.(JSON.parse(dataset.passkeyValue)).catch(() => {});
}

// Pages of an account ask for the password before a change; a passkey takes its place.
async function offer(main) {
  const forms = [...document.forms].filter((f) => f.elements.current_password || f.dataset.proof);
  if (!forms.length) return;
  const { ask, fill, old, renew } = await import(main.dataset.passkeyScript);
  const q = { fresh: main.dataset.passkeyProof, at: 0 };
  await renew(q);
  if (!q.options) return; // the person has no passkey that can
  for (const form of forms) {
    const button = document.createElement("button");
    Object.assign(button, { type: "button", className: "plain", textContent: main.dataset.passkeyUse });
    const prove = async () => {
      if (old(q)) await renew(q);
      fill(form, q, await ask(q));
      for (const name of ["current_password", "code"]) if (form.elements[name]) form.elements[name].required = false;
      form.requestSubmit(form.querySelector("button[type=submit]"));
    };
    button.addEventListener("click", () => prove().catch(() => {})); // the person cancelled
    form.append(button);
  }
  setInterval(() => old(q) && renew(q).catch(() => {}), 30_000);
}

const main = document.querySelector("[data-passkey-proof]");
if (main && window.PublicKeyCredential && navigator.credentials) offer(main).catch(() => {});
