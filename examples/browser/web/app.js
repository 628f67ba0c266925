// The page: what is shown, and the calls to the API. All that concerns signing in is in oidc.js.
import { finishSignIn, signIn, signOut } from "./oidc.js";

const $ = (id) => document.getElementById(id);
let settings, server;
let tokens = null; // in memory only: gone with the page

try {
  settings = await getJSON("settings.json");
  server = await getJSON(`${settings.issuer}/.well-known/openid-configuration`);
  tokens = await finishSignIn(server, settings);
} catch (error) {
  complain(error);
}
await show();

$("sign-in").addEventListener("click", () => {
  if (!server) return location.reload(); // it could not be reached a moment ago
  attempt($("sign-in"), () => signIn(server, settings));
});
$("sign-out").addEventListener("click", () => signOut(server, settings, tokens));
$("add").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(event.submitter, async () => {
    await api("POST", { text: $("text").value });
    $("text").value = "";
    await list();
  });
});

async function show() {
  $("account").hidden = $("notes").hidden = !tokens;
  $("welcome").hidden = Boolean(tokens);
  if (!tokens) return;
  $("person").textContent = tokens.claims.email;
  $("claims").textContent = JSON.stringify(tokens.claims, null, 2);
  $("title").focus(); // so that a screen reader says where one has arrived
  await list().catch(complain);
}

async function list() {
  const { notes } = await api("GET");
  $("status").textContent = notes.length === 0 ? "No notes yet." : notes.length === 1 ? "1 note" : `${notes.length} notes`;
  $("list").replaceChildren(...notes.map((note) => {
    const item = document.createElement("li");
    item.textContent = note; // never as HTML: it is somebody's text
    return item;
  }));
}

async function api(method, body) {
  const response = await fetch(`${settings.api}/notes`, {
    method,
    headers: { Authorization: `Bearer ${tokens.access}`, "Content-Type": "application/json" },
    body: body && JSON.stringify(body),
  });
  if (response.status === 401) { // the token has expired: the session at the server may still be good, so this is one click
    tokens = null;
    await show();
    throw new Error("Your sign-in has ended. Please sign in again.");
  }
  if (!response.ok) throw new Error(`The API answered ${response.status}.`);
  return response.json();
}

async function getJSON(address) {
  const response = await fetch(address).catch(() => {
    throw new Error(`${address} cannot be reached. Is the server running?`);
  });
  if (!response.ok) throw new Error(`${address} answered ${response.status}.`);
  return response.json();
}

// attempt runs what a button does, once at a time, and says what went wrong.
async function attempt(button, work) {
  button.disabled = true;
  $("alert").hidden = true;
  await work().catch(complain);
  button.disabled = false;
}

function complain(error) {
  $("alert").textContent = error.message;
  $("alert").hidden = false;
}
