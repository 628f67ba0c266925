package cli

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/config"
)

// healthCommand asks the server on this machine whether it is well; containers run it.
type healthCommand struct {
	Timeout duration `default:"3s" placeholder:"DURATION" help:"How long to wait for the answer."`
}

// Run asks, and fails unless the answer is 200.
func (f *healthCommand) Run(ctx context.Context, c *call) error {
	cfg, err := c.config()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(f.Timeout))
	defer cancel()
	at := healthAddress(cfg)
	if err := askHealth(ctx, at, cfg); err != nil {
		return fmt.Errorf("the server at %s is not well: %w", at, err)
	}
	return c.done(map[string]string{"status": "ok", "url": at}, "The server at %s is well.", at)
}

// healthAddress is where this machine reaches its own server, whatever name the world has for it.
func healthAddress(cfg *config.Config) string {
	host := cfg.Hosts()[0]
	if host == "" || net.ParseIP(host).IsUnspecified() {
		host = "127.0.0.1"
	}
	u := url.URL{Scheme: "http", Host: net.JoinHostPort(host, strconv.Itoa(cfg.Server.Port)), Path: "/healthz"}
	if cfg.TLS() {
		u.Scheme = "https"
	}
	return u.String()
}

func askHealth(ctx context.Context, at string, cfg *config.Config) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, http.NoBody)
	if err != nil {
		return err
	}
	transport := &http.Transport{
		DisableKeepAlives: true, // one question
		Proxy:             nil,  // never ask somebody else
	}
	if base, err := url.Parse(cfg.Server.BaseURL); err == nil && cfg.TLS() {
		req.Host = base.Host
		// The certificate is for the public name, perhaps by an authority unknown to this machine. Nothing is
		// sent and nothing but a status is believed.
		transport.TLSClientConfig = &tls.Config{ServerName: base.Hostname(), InsecureSkipVerify: true} //nolint:gosec // see above
	}
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 200)) // says more about a failure that is reported anyway
		return fmt.Errorf("it answers %s %s", resp.Status, body)
	}
	return nil
}
