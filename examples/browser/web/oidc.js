// Signs a person in with OpenID Connect from a page alone: the authorization code flow with PKCE. The page keeps no
// secret and needs none; what it proves is that the one who asked is the one who redeems the code.

// What must survive the trip to the server and back, for this tab only. It is worth nothing without the code,
// and is deleted when the code arrives. The tokens themselves are never stored: a variable is the only place
// in a browser that another script, another tab or the disk cannot read later.
const kept = "sign-in";

/** Sends the browser to the server to sign in. Nothing after it runs. */
export async function signIn(server, settings) {
  const trip = { state: random(), nonce: random(), verifier: random() };
  sessionStorage.setItem(kept, JSON.stringify(trip));
  go(server.authorization_endpoint, {
    response_type: "code",
    client_id: settings.clientId,
    redirect_uri: redirectURI(),
    scope: "openid email notes:read notes:write",
    resource: settings.resource, // whom the access token is for (RFC 8707)
    state: trip.state,
    nonce: trip.nonce,
    code_challenge: await challenge(trip.verifier),
    code_challenge_method: "S256",
  });
}

/** Reads the server's answer from the page's address. Gives the tokens, or null if there is no answer in it. */
export async function finishSignIn(server, settings) {
  const answer = new URLSearchParams(location.search);
  if (!answer.has("state") || !(answer.has("code") || answer.has("error"))) return null;
  const trip = JSON.parse(sessionStorage.getItem(kept));
  sessionStorage.removeItem(kept);
  history.replaceState(null, "", "/"); // the code goes out of the address, the history and bookmarks

  if (!trip || answer.get("state") !== trip.state) throw new Error("This sign-in was not started here. Please try again.");
  // A code of one server must not be taken to another (RFC 9207).
  if (answer.get("iss") !== server.issuer) throw new Error("The answer came from another server than the one asked.");
  if (answer.has("error")) throw new Error(answer.get("error_description") || answer.get("error"));

  const response = await fetch(server.token_endpoint, {
    method: "POST",
    body: new URLSearchParams({
      grant_type: "authorization_code",
      code: answer.get("code"),
      redirect_uri: redirectURI(),
      client_id: settings.clientId,
      code_verifier: trip.verifier,
    }),
  });
  const tokens = await response.json();
  if (!response.ok) throw new Error(tokens.error_description || tokens.error);
  return { access: tokens.access_token, id: tokens.id_token, claims: readIDToken(tokens.id_token, server, settings, trip.nonce) };
}

/** Sends the browser to the server to end the session there, and with it what it gave us. Nothing after it runs. */
export function signOut(server, settings, tokens) {
  go(server.end_session_endpoint, {
    id_token_hint: tokens.id, // shows that it is us who ask; without it the person would be asked
    client_id: settings.clientId,
    post_logout_redirect_uri: redirectURI(),
  });
}

// The token came straight from the server, so the connection vouches for it in place of the signature
// (OpenID Connect Core §3.1.3.7, 6). A token from anywhere else would have to be verified.
function readIDToken(token, server, settings, nonce) {
  const bytes = Uint8Array.from(atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
  const claims = JSON.parse(new TextDecoder().decode(bytes));
  if (claims.iss !== server.issuer || claims.aud !== settings.clientId || claims.nonce !== nonce) {
    throw new Error("The server's ID token is not for this sign-in.");
  }
  return claims;
}

function redirectURI() {
  return `${location.origin}/`;
}

function go(endpoint, parameters) {
  location.assign(`${endpoint}?${new URLSearchParams(parameters)}`);
}

function random() {
  return base64url(crypto.getRandomValues(new Uint8Array(32)));
}

// The server learns the hash first and the verifier last (RFC 7636 §4.2).
async function challenge(verifier) {
  return base64url(new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier))));
}

function base64url(bytes) {
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
