package metric

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Backups measures the backups that servers make.
type Backups struct {
	runs     *prometheus.CounterVec
	interval prometheus.Gauge
	last     *prometheus.GaugeVec
	size     *prometheus.GaugeVec
	duration *prometheus.GaugeVec
	failures prometheus.Gauge
}

func newBackups(m *Metrics) *Backups {
	b := &Backups{
		runs: m.counters("gatehouse_backup_runs_total",
			"Backups that this server made or tried to make by itself, by outcome (success, error).",
			"outcome"),
		interval: m.gauge("gatehouse_backup_interval_seconds",
			"How often a server makes a backup by itself (BACKUP_EVERY); 0 means never."),
		last: m.gauges("gatehouse_backup_last_success_timestamp_seconds",
			"When the newest good backup at BACKUP_TO began, by any server or the command line. Missing "+
				"while there is none."),
		size: m.gauges("gatehouse_backup_size_bytes",
			"Size of the newest good backup. Missing while there is none."),
		duration: m.gauges("gatehouse_backup_duration_seconds",
			"How long the newest good backup took. Missing while there is none."),
		failures: m.gauge("gatehouse_backup_failures",
			"Attempts in a row that failed since the newest good backup, by any server."),
	}
	for _, outcome := range []string{success, outcomeError} {
		b.runs.WithLabelValues(outcome)
	}
	return b
}

// Ran counts a backup that this server made or failed to make.
func (b *Backups) Ran(err error) {
	outcome := success
	if err != nil {
		outcome = outcomeError
	}
	b.runs.WithLabelValues(outcome).Inc()
}

// BackupState is what the database knows of backups.
type BackupState struct {
	Every    time.Duration // 0: never
	Began    time.Time     // the newest good one; zero: there is none
	Took     time.Duration
	Size     int64
	Failures int // in a row since
}

// Set sets the state of the backups.
func (b *Backups) Set(s BackupState) {
	b.interval.Set(s.Every.Seconds())
	b.failures.Set(float64(s.Failures))
	if s.Began.IsZero() {
		b.last.Reset()
		b.size.Reset()
		b.duration.Reset()
		return
	}
	b.last.WithLabelValues().Set(seconds(s.Began))
	b.size.WithLabelValues().Set(float64(s.Size))
	b.duration.WithLabelValues().Set(s.Took.Seconds())
}
