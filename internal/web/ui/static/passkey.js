// Asks the browser for passkeys (Web Authentication). A form with data-passkey is sent with the answer. What it asks is
// in the page from the start: Safari allows the question only as the first thing after a click. A page that stays open
// fetches another question before the first one ends. Who cancels sees nothing, and the rest of the page goes on.
export const old = (q) => Date.now() - q.at > 480_000; // the server's limit is longer
const toBytes = (s) => Uint8Array.from(atob(s.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
const toText = (b) => btoa(String.fromCharCode(...new Uint8Array(b))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=/g, "");

// A browser has one question at a time.
let pending;
export function ask(q, more) {
  pending?.abort();
  pending = new AbortController();
  const o = JSON.parse(q.options);
  for (const x of [o, o.user, ...(o.allowCredentials ?? []), ...(o.excludeCredentials ?? [])]) {
    for (const name of ["challenge", "id"]) if (x?.[name]) x[name] = toBytes(x[name]);
  }
  const options = { publicKey: o, signal: pending.signal, ...more };
  return o.user ? navigator.credentials.create(options) : navigator.credentials.get(options);
}

export async function renew(q) {
  const answer = await fetch(q.fresh);
  if (!answer.ok) throw new Error(answer.status);
  Object.assign(q, await answer.json(), { at: Date.now() });
}

function put(form, name, value) {
  const input = document.createElement("input");
  Object.assign(input, { type: "hidden", name, value });
  form.append(input);
}

// Some programs that keep passkeys return objects whose toJSON fails.
export function fill(form, q, { id, rawId, type, authenticatorAttachment, response: r }) {
  const response = r.getTransports ? { transports: r.getTransports() } : {};
  for (const name of ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"]) {
    if (r[name]) response[name] = toText(r[name]);
  }
  const all = { id, rawId: toText(rawId), type, authenticatorAttachment, clientExtensionResults: {}, response };
  put(form, "passkey", JSON.stringify(all));
  if (q.token) put(form, "passkey_token", q.token);
}

// The form is sent to the address in data-passkey, if there is one, from which new questions come as well.
async function start(form) {
  const { options, token, passkey: fresh, exists } = form.dataset;
  const q = { options, token, fresh, at: Date.now() };
  const button = form.querySelector("[data-passkey-ask]");
  const problem = form.querySelector("[data-passkey-problem]");
  const failed = problem.textContent;
  const send = (credential) => {
    fill(form, q, credential);
    if (form.elements.password) form.elements.password.disabled = true;
    if (fresh) form.action = fresh;
    button.setAttribute("aria-busy", "true");
    HTMLFormElement.prototype.submit.call(form); // a button is called submit
  };
  const can = fresh && (await PublicKeyCredential.isConditionalMediationAvailable?.().catch(() => 0));
  const suggest = () => can && ask(q, { mediation: "conditional" }).then(send, () => {});
  button.addEventListener("click", async () => {
    problem.hidden = true;
    try {
      if (fresh && old(q)) await renew(q);
      send(await ask(q));
    } catch ({ name }) {
      const there = name === "InvalidStateError";
      problem.textContent = there ? exists : failed;
      problem.hidden = !there && /^(NotAllowed|Abort)Error$/.test(name);
      suggest();
    }
  });
  button.hidden = false;
  suggest();
  if (!fresh) return;
  const keep = () => old(q) && renew(q).then(suggest, () => {});
  setInterval(keep, 30_000);
  document.addEventListener("visibilitychange", keep);
}

if (window.PublicKeyCredential && navigator.credentials) {
  for (const form of document.querySelectorAll("form[data-passkey]")) start(form);
}
