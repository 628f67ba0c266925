package app

import (
	"bytes"
	"context"
	"io"
	"log"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/config"
	"github.com/gatehouse-id/gatehouse/internal/metric"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// newLogger returns a logger as LOG_LEVEL and LOG_FORMAT say.
func newLogger(w io.Writer, cfg *config.Config) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(cfg.Server.LogLevel)); err != nil {
		level = slog.LevelInfo // the settings have validated it
	}
	opt := &slog.HandlerOptions{Level: level}
	h := &logHandler{counts: new(atomic.Pointer[metric.Logs])}
	if cfg.Server.LogFormat == "json" {
		h.Handler = slog.NewJSONHandler(w, opt)
	} else {
		h.Handler = slog.NewTextHandler(w, opt)
	}
	return slog.New(h)
}

// logHandler adds the ids of the request and of its trace to lines that are logged in its context,
// and counts the lines that ask for attention.
type logHandler struct {
	slog.Handler
	counts *atomic.Pointer[metric.Logs]
}

// messageRequest is the line of a request itself, which has its ids.
const messageRequest = "request"

// Handle writes one line.
func (h *logHandler) Handle(ctx context.Context, r slog.Record) error {
	if c := h.counts.Load(); c != nil && r.Level >= slog.LevelWarn {
		if r.Level >= slog.LevelError {
			c.Error()
		} else {
			c.Warn()
		}
	}
	if r.Message != messageRequest {
		ev := web.EventOf(ctx)
		if ev.ID != "" {
			r.AddAttrs(slog.String("request_id", ev.ID))
		}
		if ev.Trace != "" {
			r.AddAttrs(slog.String("trace_id", ev.Trace))
		}
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs returns a handler that adds attributes to all lines.
func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &logHandler{h.Handler.WithAttrs(attrs), h.counts}
}

// WithGroup returns a handler that puts the attributes of all lines in a group.
func (h *logHandler) WithGroup(name string) slog.Handler {
	return &logHandler{h.Handler.WithGroup(name), h.counts}
}

// countLines counts the lines of a logger that newLogger made.
func countLines(log *slog.Logger, m *monitor) {
	if h, ok := log.Handler().(*logHandler); ok && m != nil && m.metrics != nil {
		h.counts.Store(m.metrics.Logs)
	}
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
