package app

import (
	"bytes"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/config"
)

// newLogger returns a logger as LOG_LEVEL and LOG_FORMAT say.
func newLogger(w io.Writer, cfg *config.Config) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(cfg.Server.LogLevel)); err != nil {
		level = slog.LevelInfo // the settings have validated it
	}
	opt := &slog.HandlerOptions{Level: level}
	if cfg.Server.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, opt))
	}
	return slog.New(slog.NewTextHandler(w, opt))
}

const (
	logFlushEvery = 100 * time.Millisecond
	logBuffer     = 64 << 10
)

// logWriter buffers lines and writes them in batches: a system call per request would cost a fifth
// of the throughput. Close writes the rest.
type logWriter struct {
	out  io.Writer
	mu   sync.Mutex
	buf  bytes.Buffer
	stop chan struct{}
	done chan struct{}
}

func newLogWriter(out io.Writer) *logWriter {
	w := &logWriter{out: out, stop: make(chan struct{}), done: make(chan struct{})}
	go w.loop()
	return w
}

// Write buffers one line.
func (w *logWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.buf.Len()+len(p) > logBuffer {
		w.flush()
	}
	return w.buf.Write(p)
}

// Close writes the buffer and ends the writer.
func (w *logWriter) Close() {
	close(w.stop)
	<-w.done
}

func (w *logWriter) loop() {
	defer close(w.done)
	tick := time.NewTicker(logFlushEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-w.stop:
			w.mu.Lock()
			w.flush()
			w.mu.Unlock()
			return
		}
		w.mu.Lock()
		w.flush()
		w.mu.Unlock()
	}
}

// flush writes the buffer; the caller holds the lock.
func (w *logWriter) flush() {
	if w.buf.Len() > 0 {
		_, _ = w.out.Write(w.buf.Bytes()) // a log that cannot be written has nowhere to say so
		w.buf.Reset()
	}
}
