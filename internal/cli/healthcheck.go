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

// healthCommand checks the health of the server on this machine; containers run it.
type healthCommand struct {
	Ready   bool     `help:"Ask whether the server can serve requests, not only whether it runs."`
	Timeout duration `default:"3s" placeholder:"DURATION" help:"How long to wait for the response."`
}

// Run fails unless the server responds with 200.
func (f *healthCommand) Run(ctx context.Context, c *call) error {
	cfg, err := c.config()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(f.Timeout))
	defer cancel()
	at := healthURL(cfg, f.path())
	if err := checkHealth(ctx, at, cfg); err != nil {
		return fmt.Errorf("the server at %s is not healthy: %w", at, err)
	}
	return c.done(map[string]string{"status": "ok", "url": at}, "The server at %s is healthy.", at)
}

func (f *healthCommand) path() string {
	if f.Ready {
		return "/readyz"
	}
	return "/livez"
}

// healthURL returns the address at which this machine reaches its own server, whatever its public
// name.
func healthURL(cfg *config.Config, path string) string {
	host := cfg.Hosts()[0]
	if host == "" || net.ParseIP(host).IsUnspecified() {
		host = "127.0.0.1"
	}
	u := url.URL{
		Scheme: "http",
		Host:   net.JoinHostPort(host, strconv.Itoa(cfg.Server.Port)),
		Path:   path,
	}
	if cfg.TLS() {
		u.Scheme = "https"
	}
	return u.String()
}

// checkHealth returns an error unless the server at that address responds with 200.
func checkHealth(ctx context.Context, at string, cfg *config.Config) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, http.NoBody)
	if err != nil {
		return err
	}
	transport := &http.Transport{
		DisableKeepAlives: true, // there is one request
		Proxy:             nil,  // the server itself must respond
	}
	if base, err := url.Parse(cfg.Server.BaseURL); err == nil && cfg.TLS() {
		req.Host = base.Host
		// The certificate is for the public name, perhaps by an authority that this machine does
		// not know. The request has no secret, and only the status of the response is used.
		transport.TLSClientConfig = &tls.Config{
			ServerName:         base.Hostname(),
			InsecureSkipVerify: true,
		}
	}
	client := &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 200)) // only details
		return fmt.Errorf("it responds with %s %s", resp.Status, body)
	}
	return nil
}
