package acme

import (
	"context"
	"log/slog"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// newZap returns a logger of certmagic's kind that writes to ours.
func newZap(log *slog.Logger) *zap.Logger { return zap.New(logCore{log: log}) }

// logCore writes records of zap as ours. certmagic tells its routine at level info, which is debug
// to us: what an operator must know, event logs.
type logCore struct {
	log    *slog.Logger
	fields []zapcore.Field
}

func level(l zapcore.Level) slog.Level {
	if l >= zapcore.WarnLevel {
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

// byStrangers reports whether anybody can cause a message as often as they like.
func byStrangers(message string) bool {
	return message == "tls-alpn challenge" || message == "looking up info for HTTP challenge"
}

// Enabled reports whether records of a level are written.
func (c logCore) Enabled(l zapcore.Level) bool {
	return c.log.Enabled(context.Background(), level(l))
}

// With returns a core that adds fields to each record.
func (c logCore) With(fields []zapcore.Field) zapcore.Core {
	return logCore{c.log, append(append([]zapcore.Field(nil), c.fields...), fields...)}
}

// Check adds the core to those that write an entry.
func (c logCore) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if byStrangers(e.Message) {
		e.Level = zapcore.DebugLevel
	}
	if c.Enabled(e.Level) {
		return ce.AddCore(e, c)
	}
	return ce
}

// logged reports whether a field is passed on: others may hold tokens of challenges.
func logged(name string) bool {
	switch name {
	case "identifier", "error", "problem", "attempt", "retrying_in", "ca", "challenge_type", "issuer", "remaining":
		return true
	}
	return false
}

// Write writes one record.
func (c logCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	enc := zapcore.NewMapObjectEncoder()
	for _, set := range [][]zapcore.Field{c.fields, fields} {
		for _, f := range set {
			if logged(f.Key) {
				f.AddTo(enc)
			}
		}
	}
	args := []any{"text", e.Message}
	for name, value := range enc.Fields {
		args = append(args, name, value)
	}
	c.log.Log(context.Background(), level(e.Level), "certificates", args...)
	return nil
}

// Sync does nothing: our own log flushes itself.
func (c logCore) Sync() error { return nil }
