package web

import (
	"net/http"
	"time"
)

// Names of our cookies, before the prefix.
const (
	CookieSession = "gatehouse"       // the browser session
	CookieLogin   = "gatehouse_login" // a sign-in between two factors
)

// cookieName gives the name under https its __Host- prefix, which binds the cookie to this very host (RFC 6265bis §4.1.3.2).
func (k *Kit) cookieName(name string) string {
	if k.Secure {
		return "__Host-" + name
	}
	return name
}

// SetCookie sets a cookie of ours. A life of 0 lasts until the browser closes.
func (k *Kit) SetCookie(w http.ResponseWriter, name, value string, life time.Duration) {
	http.SetCookie(w, &http.Cookie{
		Name: k.cookieName(name), Value: value, Path: "/", MaxAge: int(life / time.Second), Secure: k.Secure, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

// DropCookie removes a cookie of ours.
func (k *Kit) DropCookie(w http.ResponseWriter, name string) {
	http.SetCookie(w, &http.Cookie{Name: k.cookieName(name), Path: "/", MaxAge: -1, Secure: k.Secure, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}

// Cookie reads a cookie of ours, or "". Sent twice, it is not believed: somebody is tossing cookies.
func (k *Kit) Cookie(r *http.Request, name string) string {
	found := r.CookiesNamed(k.cookieName(name))
	if len(found) != 1 || len(found[0].Value) > 4096 {
		return ""
	}
	return found[0].Value
}
