package web

import (
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/netaddr"
)

// Local reports whether a request comes from a program on this machine: from a loopback address,
// to a loopback Host, without any header that a proxy adds, and while no proxy on this machine is
// trusted.
func (k *Kit) Local(r *http.Request) bool {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !peer.Addr().Unmap().IsLoopback() || k.trustsLoopback() {
		return false
	}
	for name := range r.Header {
		if addedByProxies(name) {
			return false
		}
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return netaddr.IsLoopback(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
}

// trustsLoopback reports whether a trusted proxy may be on this machine: its requests are those of
// others.
func (k *Kit) trustsLoopback() bool {
	for _, p := range k.Proxies {
		if p.Addr().Unmap().IsLoopback() {
			return true
		}
	}
	return netaddr.Contains(k.Proxies, netip.AddrFrom4([4]byte{127, 0, 0, 1})) ||
		netaddr.Contains(k.Proxies, netip.IPv6Loopback())
}

// addedByProxies reports whether a header, by its canonical name, is one that proxies and tunnels
// add to the requests of others.
func addedByProxies(name string) bool {
	switch name {
	case "Forwarded", "Via", "X-Real-Ip", "X-Client-Ip", "X-Cluster-Client-Ip", "True-Client-Ip",
		"Cf-Connecting-Ip", "Cf-Ray", "Fastly-Client-Ip", "X-Envoy-External-Address",
		"X-Original-Forwarded-For", "X-Azure-Clientip", "X-Proxyuser-Ip", "Client-Ip":
		return true
	}
	return strings.HasPrefix(name, "X-Forwarded")
}
