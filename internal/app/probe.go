package app

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
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
}

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
	return out
}
