package gateway_test

import (
	"net/http"
	"strings"
	"testing"
)

// A signature has one spelling: a decoder that ignores unused bits would take sixteen.
func TestOneSpellingOfASignature(t *testing.T) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	w := newWorld(t, shop())
	token := w.token()
	if rec := w.get("/shop/v1", "Authorization: Bearer "+token); rec.Code != http.StatusOK {
		t.Fatalf("status %d", rec.Code)
	}
	cut := token[:len(token)-1]
	for i := range alphabet {
		if last := alphabet[i : i+1]; !strings.HasSuffix(token, last) {
			if rec := w.get("/shop/v1", "Authorization: Bearer "+cut+last); rec.Code != http.StatusUnauthorized {
				t.Errorf("with %s at the end: status %d, want 401", last, rec.Code)
			}
			if _, err := w.ring.Verify(cut+last, "at+jwt"); err == nil {
				t.Errorf("with %s at the end: it verifies", last)
			}
		}
	}
}
