package web

import (
	"net/http"
	"time"
)

// Names of our cookies, before the prefix.
const (
	CookieSession = "gatehouse"         // the browser session
	CookieLogin   = "gatehouse_login"   // a sign-in between two factors
	CookieBrowser = "gatehouse_browser" // marks the browser that starts an authorization request
	CookieName    = "gatehouse_name"    // the account whose password a link has just set
	// What a browser that asked for a message to sign in with has to bring back, the link of the
	// message while its page is open, and the sign-in that goes on afterwards.
	CookieEmail        = "gatehouse_email"
	CookieEmailLink    = "gatehouse_email_link"
	CookieEmailContext = "gatehouse_email_context"

	CookieRecovery = "gatehouse_recovery" // the link about a lost second step, while its page is open
	CookieSignUp   = "gatehouse_signup"   // the sign-up that waits for a confirmation
	CookieLink     = "gatehouse_link"     // the token of the mailed link whose page is open

	// The browser's further sessions, numbered from 1, and the accounts that it remembers.
	CookieOther    = "gatehouse_other"
	CookieAccounts = "gatehouse_accounts"

	// The session of the browser's own person, while somebody acts as another one in CookieSession.
	CookieActor = "gatehouse_actor"

	CookieDevice = "gatehouse_device" // by which accounts know the browser
	CookieOffer  = "gatehouse_offer"  // the person wants no passkey on this browser

	CookieLanguage = "gatehouse_language" // the language that was chosen on a page
)

// cookieName returns the name, over https with the prefix __Host-, which binds the cookie to
// exactly this host (RFC 6265bis §4.1.3.2). Browsers share cookies between the ports of a host, so
// without https the name contains the port: two servers on one machine do not sign each other out.
func (k *Kit) cookieName(name string) string {
	if k.Secure {
		return "__Host-" + name
	}
	if k.Port != "" {
		return name + "_" + k.Port
	}
	return name
}

// SetCookie sets a cookie. With a TTL of 0 it lasts until the browser closes.
func (k *Kit) SetCookie(w http.ResponseWriter, name, value string, ttl time.Duration) {
	http.SetCookie(w, k.newCookie(name, value, int(ttl/time.Second)))
}

// ClearCookie removes a cookie.
func (k *Kit) ClearCookie(w http.ResponseWriter, name string) {
	http.SetCookie(w, k.newCookie(name, "", -1))
}

func (k *Kit) newCookie(name, value string, maxAge int) *http.Cookie {
	return &http.Cookie{
		Name:     k.cookieName(name),
		Value:    value,
		Path:     "/",
		MaxAge:   maxAge,
		Secure:   k.Secure,
		HttpOnly: true,
		SameSite: http.SameSiteLaxMode,
	}
}

// Cookie returns the value of a cookie, or "". It ignores a cookie that was sent twice, which a
// neighboring host may have planted.
func (k *Kit) Cookie(r *http.Request, name string) string {
	found := r.CookiesNamed(k.cookieName(name))
	if len(found) != 1 || len(found[0].Value) > 4096 {
		return ""
	}
	return found[0].Value
}
