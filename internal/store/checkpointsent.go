package store

import (
	"context"
	"encoding/json"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// metaCheckpointSent is the name of what is known of AUDIT_CHECKPOINT_URL.
const metaCheckpointSent = "checkpoint_sent"

// CheckpointSent returns how the last attempts to send checkpoints to AUDIT_CHECKPOINT_URL ended;
// the zero value before the first.
func (d *DB) CheckpointSent(ctx context.Context) (out admin.CheckpointSent, err error) {
	text, err := d.Meta(ctx, metaCheckpointSent)
	if fault.Is(err, fault.NotFound) {
		return out, nil
	}
	if err == nil {
		err = json.Unmarshal([]byte(text), &out)
	}
	return out, err
}

// SetCheckpointSent records how an attempt ended. Only the holder of the lease of the tree sends
// checkpoints, so that no other server writes it meanwhile.
func (d *DB) SetCheckpointSent(ctx context.Context, now time.Time, failure error) error {
	out, err := d.CheckpointSent(ctx)
	if err != nil {
		return err
	}
	switch {
	case failure == nil:
		out = admin.CheckpointSent{At: now.UTC()}
	case out.FailingSince.IsZero():
		out.FailingSince, out.Error = now.UTC(), failure.Error()
	case out.Error == failure.Error():
		return nil
	default:
		out.Error = failure.Error()
	}
	text, err := json.Marshal(out)
	if err != nil {
		return err
	}
	return d.SetMeta(ctx, metaCheckpointSent, string(text))
}
