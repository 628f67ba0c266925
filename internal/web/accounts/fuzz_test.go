package accounts_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// Whatever a caller sends, the answer is a document of the interface, and nobody is signed in by
// chance.
func FuzzRequest(f *testing.F) {
	f.Add("Basic YTpi,Bearer session:x", `{"data":{"email":"a@example.com","password":"p","state":"`+state+`"}}`, "password")
	f.Add("Bearer session:gth_st_", `[{"t":"sessions","value":"x"}]`, "email")
	f.Add("Basic YTpi , DPoP x", `{"code":"1","code":"2"}`, "code")
	f.Add("bearer", "\xff", "totp")
	f.Add(",", "{", "../refresh")
	f.Fuzz(func(t *testing.T, authorization, sent, step string) {
		if strings.ContainsAny(authorization, "\r\n\x00") || strings.ContainsFunc(step, func(c rune) bool { return c <= ' ' || c > 'z' || strings.ContainsRune("?#%/\\\"^`{|}<>.", c) }) {
			return
		}
		h := newHarness(t)
		for _, path := range []string{"/sessions/login/" + step, "/sessions/refresh", "/sessions/logout", "/users/" + step + "/change-password"} {
			for _, header := range []string{authorization, h.basic()} {
				r := httptest.NewRequest("POST", origin+"/accounts/v1"+path, strings.NewReader(sent))
				r.Header.Set("Content-Type", "application/json")
				r.Header.Set("Authorization", header)
				w := httptest.NewRecorder()
				h.serve.ServeHTTP(w, r)
				var doc map[string]any
				if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil && w.Code != http.StatusTemporaryRedirect {
					t.Fatalf("%d %q is not JSON", w.Code, w.Body)
				}
				if w.Code >= http.StatusInternalServerError || doc["t"] == "session" {
					t.Fatalf("%s %q %q: %d %s", path, header, sent, w.Code, w.Body)
				}
			}
		}
	})
}
