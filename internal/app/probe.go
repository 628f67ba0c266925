package app

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/doctor"
	"github.com/gatehouse-id/gatehouse/internal/netaddr"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// A probe is a request by which an installation looks at itself from outside: /health with a header
// that needs the master key to be written. The answer says how the request arrived, and proves
// that the server has the same key.
const (
	probeHeader  = "Gatehouse-Probe"
	probeLasts   = time.Minute
	probeTimeout = 5 * time.Second
	maxProbe     = 8 << 10 // bytes of an answer
)

// probeSight is what the server says that it saw.
type probeSight struct {
	Proof     string   `json:"proof"`
	Peer      string   `json:"peer"`
	Scheme    string   `json:"scheme"`
	Host      string   `json:"host"`
	Forwarded []string `json:"forwarded"`
	Cookie    string   `json:"cookie"`   // the Set-Cookie header of the answer
	Withheld  bool     `json:"withheld"` // the cookie of the request did not arrive
}

// probeCookie is the name of the cookies of a probe.
const probeCookie = "gatehouse_probe"

// probeMAC returns the authentication code of one side of a probe.
func probeMAC(keys *secret.Keys, side, seconds string) string {
	m := hmac.New(sha256.New, keys.Derive("probe"))
	_, _ = io.WriteString(m, side+" "+seconds) // a hash never fails
	return hex.EncodeToString(m.Sum(nil))
}

// answerProbe answers a probe of this installation. It reports false for any other request.
func (s *server) answerProbe(w http.ResponseWriter, r *http.Request) bool {
	header := r.Header.Get(probeHeader)
	if header == "" {
		return false
	}
	seconds, mac, _ := strings.Cut(header, ".")
	at, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil || web.EventOf(r.Context()).Now.Sub(time.Unix(at, 0)).Abs() > probeLasts ||
		!hmac.Equal([]byte(mac), []byte(probeMAC(s.parts.keys, "question", seconds))) {
		return false
	}
	sight := probeSight{
		Proof: probeMAC(s.parts.keys, "answer", seconds), Host: r.Host, Scheme: "http",
	}
	if r.TLS != nil {
		sight.Scheme = "https"
	}
	if peer, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		sight.Peer = netaddr.Canonical(peer.Addr()).String()
		if netaddr.Contains(s.parts.cfg.Server.TrustedProxies, netaddr.Canonical(peer.Addr())) {
			sight.Scheme = first(r.Header.Get("X-Forwarded-Proto"), sight.Scheme)
			sight.Host = first(r.Header.Get("X-Forwarded-Host"), sight.Host)
		}
	}
	for name := range r.Header {
		if strings.HasPrefix(name, "X-Forwarded-") || name == "Forwarded" {
			sight.Forwarded = append(sight.Forwarded, name)
		}
	}
	slices.Sort(sight.Forwarded)
	c, err := r.Cookie(probeCookie)
	sight.Withheld = err != nil || c.Value != seconds
	s.kit.SetCookie(w, probeCookie, seconds, probeLasts)
	sight.Cookie = w.Header().Get("Set-Cookie")
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(sight) // the caller is gone if it fails
	return true
}

// first returns the first of the comma-separated values, or otherwise the default.
func first(values, otherwise string) string {
	v, _, _ := strings.Cut(values, ",")
	if v = strings.TrimSpace(v); v == "" || len(v) > 255 {
		return otherwise
	}
	return v
}

// probe sends a probe to the public address of the installation.
func probe(ctx context.Context, client *http.Client, keys *secret.Keys, base string, now time.Time) *doctor.Probe {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	out := &doctor.Probe{}
	seconds := strconv.FormatInt(now.Unix(), 10)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/health", nil)
	if err != nil {
		out.Err = err.Error()
		return out
	}
	r.Header.Set(probeHeader, seconds+"."+probeMAC(keys, "question", seconds))
	r.AddCookie(&http.Cookie{Name: probeCookie, Value: seconds})
	begin := time.Now()
	answer, err := client.Do(r)
	if err != nil {
		out.Err = plainError(err)
		return out
	}
	defer answer.Body.Close()
	out.Took = time.Since(begin)
	var sight probeSight
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxProbe))
	if err != nil || json.Unmarshal(body, &sight) != nil ||
		!hmac.Equal([]byte(sight.Proof), []byte(probeMAC(keys, "answer", seconds))) {
		out.Other = true
		return out
	}
	out.Peer, out.Scheme, out.Host, out.Forwarded = sight.Peer, sight.Scheme, sight.Host, sight.Forwarded
	if set, err := http.ParseSetCookie(sight.Cookie); err == nil { // an earlier release sets none
		out.Cookies = compareCookies(set, answer.Cookies())
		out.Cookies.Withheld = sight.Withheld
	}
	return out
}

// compareCookies compares the cookie that the server has set with those that have arrived.
func compareCookies(set *http.Cookie, arrived []*http.Cookie) *doctor.Cookies {
	out := &doctor.Cookies{}
	i := slices.IndexFunc(arrived, func(c *http.Cookie) bool { return c.Name == set.Name })
	if i < 0 {
		out.Missing = true
		return out
	}
	got := arrived[i]
	for _, attribute := range []struct {
		name string
		same bool
	}{
		{"value", got.Value == set.Value},
		{"Path", got.Path == set.Path},
		{"Domain", got.Domain == set.Domain},
		{"Secure", got.Secure == set.Secure},
		{"HttpOnly", got.HttpOnly == set.HttpOnly},
		{"SameSite", got.SameSite == set.SameSite},
	} {
		if !attribute.same {
			out.Changed = append(out.Changed, attribute.name)
		}
	}
	return out
}

// maxAddresses bounds how many addresses of a name are tried.
const maxAddresses = 8

// lookUp asks the DNS for the host of an address, and whether each of its addresses answers. It
// returns nil for a host that is an address itself, or of this machine only.
func lookUp(ctx context.Context, u *url.URL) *doctor.DNS {
	host := u.Hostname()
	if _, err := netip.ParseAddr(host); err == nil || host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	out := &doctor.DNS{Host: host}
	all, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		out.Err = plainError(err)
		return out
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	all = all[:min(len(all), maxAddresses)]
	dead := make([]bool, len(all))
	var wg sync.WaitGroup
	for i, a := range all {
		out.Addresses = append(out.Addresses, a.Unmap().String())
		wg.Go(func() { dead[i] = !answersAt(ctx, net.JoinHostPort(a.Unmap().String(), port)) })
	}
	wg.Wait()
	for i, is := range dead {
		if is && slices.Contains(dead, false) { // where none answers, the probe says more
			out.Dead = append(out.Dead, out.Addresses[i])
		}
	}
	return out
}

// answersAt reports whether somebody listens at an address. One that this machine has no way to,
// such as one of IPv6 where there is only IPv4, is believed to.
func answersAt(ctx context.Context, addr string) bool {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err == nil {
		_ = conn.Close()
		return true
	}
	for _, noWay := range []error{syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.EADDRNOTAVAIL, syscall.EAFNOSUPPORT} {
		if errors.Is(err, noWay) {
			return true
		}
	}
	return false
}
