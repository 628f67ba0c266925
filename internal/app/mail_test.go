package app

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// A development server that others use shows its mail to nobody: a proxy that keeps the address of
// its upstream in Host and adds no header looks like a browser on this machine.
func TestMailIsShownOfLocalServersOnly(t *testing.T) {
	for base, want := range map[string]int{
		"http://localhost:8080":       http.StatusOK,
		"http://127.0.0.1:8080":       http.StatusOK,
		"http://[::1]:8080":           http.StatusOK,
		"http://id.localhost:8080":    http.StatusOK,
		"https://id.example.com":      http.StatusNotFound,
		"http://192.168.1.9:8080":     http.StatusNotFound,
		"https://localhost.evil.test": http.StatusNotFound,
	} {
		h := newTestServer(t, "BASE_URL="+base)
		r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1:8080/dev/mail", nil)
		r.RemoteAddr = "127.0.0.1:40000"
		w := httptest.NewRecorder()
		h.handler.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%s: %d, want %d", base, w.Code, want)
		}
	}
}
