// Devices that keep passkeys, as Chromium plays them (CDP, domain WebAuthn).

/** Gives a tab a device of its own that makes and uses passkeys without being touched. */
export async function device(tab, options = {}) {
  const cdp = await tab.context().newCDPSession(tab);
  await cdp.send("WebAuthn.enable");
  const { authenticatorId } = await cdp.send("WebAuthn.addVirtualAuthenticator", {
    options: {
      protocol: "ctap2", transport: "internal", hasResidentKey: true, hasUserVerification: true, isUserVerified: true,
      automaticPresenceSimulation: true, ...options,
    },
  });
  const set = (method, more) => cdp.send(`WebAuthn.${method}`, { authenticatorId, ...more });
  return {
    touches: (enabled) => set("setAutomaticPresenceSimulation", { enabled }),
    verifies: (isUserVerified) => set("setUserVerified", { isUserVerified }),
    credentials: async () => (await set("getCredentials")).credentials,
    put: (credential) => set("addCredential", { credential }),
  };
}
