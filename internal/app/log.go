package app

import (
	"bytes"
	"io"
	"log"
	"log/slog"
	"strings"
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

// catchStandardLog sends what Go's own packages write to the standard logger, such as net/http
// about a misbehaving upstream, to the server's log, and returns a function that undoes it. Such
// lines may quote bytes of a connection, secrets included, so only the part before the first quote
// is logged.
func catchStandardLog(l *slog.Logger) (restore func()) {
	out, flags, prefix := log.Writer(), log.Flags(), log.Prefix()
	log.SetFlags(0)
	log.SetPrefix("")
	log.SetOutput(standardLog{l})
	return func() {
		log.SetOutput(out)
		log.SetFlags(flags)
		log.SetPrefix(prefix)
	}
}

// standardLog writes lines of the standard logger as records.
type standardLog struct{ log *slog.Logger }

// Write logs one line.
func (w standardLog) Write(p []byte) (int, error) {
	text, _, quoted := strings.Cut(strings.TrimSpace(string(p)), `"`)
	if quoted {
		text += "[…]"
	}
	w.log.Warn("message of a Go package", "text", text)
	return len(p), nil
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
