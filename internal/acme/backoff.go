package acme

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// Certificate authorities limit failed attempts. A server that restarts must not begin anew, and
// several servers must not try one after another, so the wait after a failure is stored.
const (
	firstWait = time.Minute
	longest   = 6 * time.Hour
)

// failures counts the failed attempts for one name, in the form that is stored.
type failures struct {
	Count int       `json:"count"`
	Until time.Time `json:"until"` // no attempt before
}

// event receives what happens to certificates. An error of "cert_obtaining" cancels the attempt.
func (m *Manager) event(ctx context.Context, name string, data map[string]any) error {
	domain, _ := data["identifier"].(string)
	if domain == "" {
		return nil
	}
	ctx = context.WithoutCancel(ctx)
	switch name {
	case "cert_obtaining":
		return m.mayTry(ctx, domain)
	case "cert_obtained":
		m.o.Log.Info("certificate obtained", "domain", domain)
		return m.storage.Delete(ctx, failureKey(domain))
	case "cert_failed":
		return m.failed(ctx, domain)
	}
	return nil
}

// mayTry returns an error while the wait after the last failure is not over.
func (m *Manager) mayTry(ctx context.Context, domain string) error {
	f, err := m.failures(ctx, domain)
	if err != nil {
		return err
	}
	if wait := f.Until.Sub(m.o.Now()); wait > 0 {
		return fmt.Errorf("%d attempts have failed; the next one is due in %s",
			f.Count, wait.Round(time.Second))
	}
	return nil
}

// failed records a failed attempt, and doubles the wait before the next one.
func (m *Manager) failed(ctx context.Context, domain string) error {
	f, err := m.failures(ctx, domain)
	if err != nil {
		return err
	}
	wait := longest
	if f.Count < 9 {
		wait = min(longest, firstWait<<f.Count)
	}
	f.Count++
	f.Until = m.o.Now().Add(wait)
	raw, err := json.Marshal(f)
	if err != nil {
		return err
	}
	m.o.Log.Error("no certificate could be obtained; check that the name leads to this server, and "+
		"that the certificate authority reaches port 443, or port 80 with HTTP_PORT",
		"domain", domain, "attempts", f.Count, "next_in", wait.String())
	return m.storage.Store(ctx, failureKey(domain), raw)
}

func (m *Manager) failures(ctx context.Context, domain string) (f failures, err error) {
	raw, err := m.storage.Load(ctx, failureKey(domain))
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return f, err
	}
	return f, json.Unmarshal(raw, &f)
}

func failureKey(domain string) string { return "failures/" + domain }
