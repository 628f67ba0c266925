package metric

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Kinds of operations on the database.
const (
	OperationRead  = "read"
	OperationWrite = "write"
)

// Database measures the work on the database.
type Database struct {
	read, write operation

	up          prometheus.Gauge
	connections *prometheus.GaugeVec
	queue       prometheus.Gauge
	waits       prometheus.Counter
	waited      atomic.Int64 // what waits has counted
	size        *prometheus.GaugeVec
	listening   prometheus.Gauge
	pooler      prometheus.Gauge
	standbys    *prometheus.GaugeVec
}

// operation is the series of one kind of operation.
type operation struct {
	ok, conflict, unavailable, failed prometheus.Counter
	duration                          prometheus.Observer
}

// Outcomes of an operation on the database.
const (
	outcomeConflict    = "conflict"
	outcomeUnavailable = "unavailable"
	outcomeError       = "error"
)

func newDatabase(m *Metrics) *Database {
	total := m.counters("gatehouse_database_operations_total",
		"Operations on the database as their callers see them: statements, batches and transactions, by "+
			"kind (read, write) and outcome: success (also when nothing was found), conflict, "+
			"unavailable, error.", "operation", "outcome")
	duration := m.histograms("gatehouse_database_operation_duration_seconds",
		"Time of an operation on the database, waiting for a connection or for the writer included.",
		[]float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .5, 1, 5}, "operation")
	of := func(kind string) operation {
		return operation{
			ok:          total.WithLabelValues(kind, success),
			conflict:    total.WithLabelValues(kind, outcomeConflict),
			unavailable: total.WithLabelValues(kind, outcomeUnavailable),
			failed:      total.WithLabelValues(kind, outcomeError),
			duration:    duration.WithLabelValues(kind),
		}
	}
	return &Database{
		read:  of(OperationRead),
		write: of(OperationWrite),
		up:    m.gauge("gatehouse_database_up", "1 while the database answers and can be changed, 0 while it does not or cannot."),
		connections: m.gauges("gatehouse_database_connections",
			"Connections to the database, by state: in_use, idle, and max, the most that may be open.",
			"state"),
		queue: m.gauge("gatehouse_database_writer_queue",
			"Changes that wait for SQLite's writer now; 0 on PostgreSQL."),
		waits: m.counter("gatehouse_database_connection_waits_total",
			"Operations on PostgreSQL that had to wait for a connection, because all were in use."),
		size: m.gauges("gatehouse_database_size_bytes",
			"Size of the database, by part: main, and on SQLite wal, the write-ahead log.", "part"),
		listening: m.gauge("gatehouse_database_listening",
			"1 while the server hears of other servers' changes at once (LISTEN), 0 while it asks for them "+
				"(SQLite, or a connection pooler)."),
		pooler: m.gauge("gatehouse_database_pooler",
			"1 while PostgreSQL is reached through a connection pooler that does not keep sessions."),
		standbys: m.gauges("gatehouse_database_standbys",
			"Standbys of PostgreSQL that are connected to the primary, by mode: sync, for which commits wait, "+
				"and async. All 0 where the role of DATABASE_URL is no member of pg_monitor.", "mode"),
	}
}

// An Outcome of an operation on the database.
type Outcome int

// The outcomes.
const (
	Done Outcome = iota
	Conflict
	Unavailable
	Failed
)

// Observe counts one operation. A trace that is not "" becomes the exemplar of its duration.
func (d *Database) Observe(write bool, took time.Duration, o Outcome, trace string) {
	op := &d.read
	if write {
		op = &d.write
	}
	switch o {
	case Conflict:
		op.conflict.Inc()
	case Unavailable:
		op.unavailable.Inc()
	case Failed:
		op.failed.Inc()
	default:
		op.ok.Inc()
	}
	observe(op.duration, took, trace)
}

// DatabaseState is what is read of the database now and then.
type DatabaseState struct {
	Up                bool
	Listening, Pooler bool
	InUse, Idle, Max  int
	Queue             int
	Waits             int64 // since the start
	Size, WAL         int64 // bytes; below 0: unknown

	Synchronous, Asynchronous int // standbys of PostgreSQL
}

// Set sets the state of the database.
func (d *Database) Set(s DatabaseState) {
	d.up.Set(number(s.Up))
	d.listening.Set(number(s.Listening))
	d.pooler.Set(number(s.Pooler))
	d.queue.Set(float64(s.Queue))
	if more := s.Waits - d.waited.Swap(s.Waits); more > 0 {
		d.waits.Add(float64(more))
	}
	d.connections.WithLabelValues("in_use").Set(float64(s.InUse))
	d.connections.WithLabelValues("idle").Set(float64(s.Idle))
	d.connections.WithLabelValues("max").Set(float64(s.Max))
	d.standbys.WithLabelValues("sync").Set(float64(s.Synchronous))
	d.standbys.WithLabelValues("async").Set(float64(s.Asynchronous))
	if s.Size >= 0 {
		d.size.WithLabelValues("main").Set(float64(s.Size))
	}
	if s.WAL >= 0 {
		d.size.WithLabelValues("wal").Set(float64(s.WAL))
	}
}
