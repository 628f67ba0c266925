package metric

import "github.com/prometheus/client_golang/prometheus"

// Realms counts what becomes of the realms of a process. Their names are those that the operator
// has configured.
type Realms struct {
	up       *prometheus.GaugeVec
	open     *prometheus.GaugeVec
	requests *prometheus.CounterVec
}

func newRealms(m *Metrics) *Realms {
	return &Realms{
		up: m.gauges("gatehouse_realm_up",
			"1 unless the realm could not be opened when it was last tried.", "realm"),
		open: m.gauges("gatehouse_realm_open",
			"1 while the realm is open: it had requests lately, or works in the background.", "realm"),
		requests: m.counters("gatehouse_realm_requests_total", "Requests for the realm.", "realm"),
	}
}

// Realm is what is measured of one realm.
type Realm struct {
	up, open prometheus.Gauge
	requests prometheus.Counter
}

// Realm returns what is measured of a realm that the operator has configured. It returns nil if r
// is nil.
func (r *Realms) Realm(name string) *Realm {
	if r == nil {
		return nil
	}
	x := &Realm{
		up:       r.up.WithLabelValues(name),
		open:     r.open.WithLabelValues(name),
		requests: r.requests.WithLabelValues(name),
	}
	x.up.Set(1)
	x.open.Set(0)
	return x
}

// Remove ends the series of a realm that is no longer there. A nil Realms has none.
func (r *Realms) Remove(name string) {
	if r == nil {
		return
	}
	r.up.DeleteLabelValues(name)
	r.open.DeleteLabelValues(name)
	r.requests.DeleteLabelValues(name)
}

// Request counts a request. A nil Realm counts nothing.
func (x *Realm) Request() {
	if x != nil {
		x.requests.Inc()
	}
}

// State sets whether the realm is open, and whether it can be opened.
func (x *Realm) State(open, up bool) {
	if x != nil {
		x.open.Set(number(open))
		x.up.Set(number(up))
	}
}
