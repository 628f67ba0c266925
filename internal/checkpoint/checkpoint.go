// Package checkpoint signs the head of the audit log's tree and publishes it to a file and an
// address, and sees to it that no second history is ever signed under the same name.
package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// Store is what publishing needs of storage.
type Store interface {
	// AuditTree returns the state of the tree.
	AuditTree(ctx context.Context) (*audit.Head, error)
	// AuditRoot returns the root that the tree had at a size.
	AuditRoot(ctx context.Context, size int64) (tlog.Hash, error)
	// PutCheckpoint stores a signed checkpoint, and the public keys that signed it.
	PutCheckpoint(ctx context.Context, epoch int64, c *audit.Checkpoint, note string, keys []string, now time.Time) error
	// StartEpoch begins another history, with its event, or returns fault.Conflict if another
	// server did.
	StartEpoch(ctx context.Context, from, to int64, ev audit.Event) error
}

// Names in the detail of audit.EpochStarted.
const (
	DetailEpoch  = "epoch"
	DetailOrigin = "former_origin"
	DetailSize   = "former_size" // of the published checkpoint, in pages
	DetailRoot   = "former_root"
	DetailHere   = "size" // of the database
	DetailCause  = "cause"
)

// Why another history begins.
const (
	CauseBehind = "database_behind_checkpoint" // it was restored from an older backup, or its end was removed
	CauseForked = "database_differs"           // it was restored, and went on before this was noticed
	CauseKey    = "key_lost"                   // no key that is left has signed the published checkpoint
)

// A Publisher publishes checkpoints. The zero values of File and URL leave the file or the address
// out.
type Publisher struct {
	Store  Store
	Name   string   // of the keys, and of the first history
	Keys   []string // private; all of them sign
	File   string
	URL    string
	Client *http.Client      // must not follow redirects
	Warn   func(text string) // receives what the operator must know; may be nil
	// Sent is told how each attempt to send a checkpoint to URL ended; may be nil.
	Sent func(ctx context.Context, now time.Time, failure error) error

	sent string // the checkpoint that URL took last from this process
}

// urlTimeout bounds a publication to an address.
const urlTimeout = 10 * time.Second

// Publish signs the tree as it is, unless the published checkpoint says so already.
func (p *Publisher) Publish(ctx context.Context, now time.Time) error {
	head, err := p.Store.AuditTree(ctx)
	if err != nil || head.Size == 0 {
		return err
	}
	published, text, err := p.read()
	if err != nil {
		return err
	}
	if published != nil {
		cause, err := p.compare(ctx, head, published, text)
		if err != nil {
			return err
		}
		if cause != "" {
			return p.startEpoch(ctx, head, published, cause, now)
		}
		if published.Size == head.Size && published.Origin == audit.Origin(p.Name, head.Epoch) && p.signedByAll(text) {
			return p.send(ctx, text, now) // the file has it; the address may not
		}
	}
	return p.publish(ctx, head, published, now)
}

// read returns the checkpoint in the file, or nil if there is none.
func (p *Publisher) read() (*audit.Checkpoint, string, error) {
	if p.File == "" {
		return nil, "", nil
	}
	raw, err := os.ReadFile(p.File)
	if errors.Is(err, os.ErrNotExist) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("the file of AUDIT_CHECKPOINT_FILE cannot be read: %w", err)
	}
	c, err := audit.ParseCheckpoint(string(raw))
	if err != nil {
		return nil, "", fmt.Errorf("%s contains no checkpoint, so no other one is written there; "+
			"find out what happened to it, and move it away", p.File)
	}
	return c, string(raw), nil
}

// compare returns why the tree does not continue a published checkpoint, or "".
func (p *Publisher) compare(ctx context.Context, head *audit.Head, c *audit.Checkpoint, text string) (string, error) {
	epoch := audit.EpochOf(p.Name, c.Origin)
	switch {
	case epoch == 0 || epoch < head.Epoch: // another server's name, or a history that has ended
		return "", nil
	case epoch > head.Epoch || c.Size > head.Size:
		return CauseBehind, nil
	}
	root, err := p.Store.AuditRoot(ctx, c.Size)
	if err != nil {
		return "", err
	}
	if root != c.Root {
		return CauseForked, nil
	}
	public, err := p.public()
	if err != nil {
		return "", err
	}
	if _, _, err := audit.OpenCheckpoint(text, public...); err != nil {
		return CauseKey, nil
	}
	return "", nil
}

// signedByAll reports whether all keys have signed a checkpoint.
func (p *Publisher) signedByAll(text string) bool {
	public, err := p.public()
	if err != nil {
		return false
	}
	_, by, err := audit.OpenCheckpoint(text, public...)
	return err == nil && len(by) == len(slices.Compact(slices.Sorted(slices.Values(public))))
}

func (p *Publisher) public() ([]string, error) {
	var all []string
	for _, key := range p.Keys {
		public, err := audit.PublicCheckpointKey(key)
		if err != nil {
			return nil, err
		}
		all = append(all, public)
	}
	return all, nil
}

// startEpoch begins another history: what was published stays true of the one that has ended.
func (p *Publisher) startEpoch(
	ctx context.Context, head *audit.Head, c *audit.Checkpoint, cause string, now time.Time,
) error {
	next := max(head.Epoch, audit.EpochOf(p.Name, c.Origin)) + 1
	ev := audit.Event{
		At:         now,
		Type:       audit.EpochStarted,
		Actor:      audit.ActorSystem,
		TargetType: audit.TargetAudit,
		Detail: map[string]string{
			DetailEpoch:  strconv.FormatInt(next, 10),
			DetailOrigin: c.Origin,
			DetailSize:   strconv.FormatInt(c.Size, 10),
			DetailRoot:   c.Root.String(),
			DetailHere:   strconv.FormatInt(head.Size, 10),
			DetailCause:  cause,
		},
	}
	if err := p.Store.StartEpoch(ctx, head.Epoch, next, ev); err != nil {
		if fault.Is(err, fault.Conflict) {
			return nil
		}
		return err
	}
	if p.Warn != nil {
		p.Warn(fmt.Sprintf("the audit log does not continue the published checkpoint of %d pages (%s): another history "+
			"begins, as %s; see docs/guides/audit.md", c.Size, cause, audit.Origin(p.Name, next)))
	}
	return nil
}

// publish signs the tree and writes the checkpoint wherever it goes.
func (p *Publisher) publish(ctx context.Context, head *audit.Head, before *audit.Checkpoint, now time.Time) error {
	c := &audit.Checkpoint{Origin: audit.Origin(p.Name, head.Epoch), Size: head.Size, Root: head.Root}
	text, err := c.Sign(p.Keys...)
	if err != nil {
		return err
	}
	public, err := p.public()
	if err != nil {
		return err
	}
	if err := p.Store.PutCheckpoint(ctx, head.Epoch, c, text, public, now); err != nil {
		return err
	}
	var problems []error
	if p.File != "" {
		if before != nil && before.Origin != c.Origin { // the last word of another history stays
			name := fmt.Sprintf("%s.%s", p.File, strings.NewReplacer("/", "-", ":", "-").Replace(before.Origin))
			problems = append(problems, os.Rename(p.File, name))
		}
		problems = append(problems, writeFile(p.File, []byte(text), 0o644))
	}
	problems = append(problems, p.send(ctx, text, now))
	return errors.Join(problems...)
}

// send sends a checkpoint to the address, unless that has taken it from this process already.
func (p *Publisher) send(ctx context.Context, text string, now time.Time) error {
	if p.URL == "" || p.sent == text {
		return nil
	}
	err := p.put(ctx, text)
	if err == nil {
		p.sent = text
	}
	if p.Sent != nil {
		err = errors.Join(err, p.Sent(context.WithoutCancel(ctx), now, err))
	}
	return err
}

// put makes one attempt to send a checkpoint. Its error does not contain the address, which may
// hold a token.
func (p *Publisher) put(ctx context.Context, text string) error {
	ctx, cancel := context.WithTimeout(ctx, urlTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, p.URL, strings.NewReader(text))
	if err != nil {
		return errors.New("AUDIT_CHECKPOINT_URL is not an address")
	}
	req.Header.Set("Content-Type", "text/plain; charset=utf-8")
	res, err := p.Client.Do(req)
	var failed *url.Error
	if errors.As(err, &failed) {
		err = failed.Err
	}
	if err != nil {
		return fmt.Errorf("the checkpoint could not be sent to AUDIT_CHECKPOINT_URL: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return fmt.Errorf("AUDIT_CHECKPOINT_URL answered with status %d", res.StatusCode)
	}
	return nil
}

// NewClient returns the client that sends checkpoints. It follows no redirect: the operator has
// named one address, and its answer must not choose another one, which may be inside of the
// network.
func NewClient() *http.Client {
	return &http.Client{
		Timeout:       urlTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// LoadKeys returns the private keys that sign checkpoints: those of the setting, separated by
// spaces, or those in the file beside the checkpoint file, which is created if there is none. The
// first is the current one; further ones sign, too, while a key is replaced.
func LoadKeys(setting, file, name string) ([]string, error) {
	if keys := strings.Fields(setting); len(keys) > 0 {
		return check(keys)
	}
	if file == "" {
		return nil, nil
	}
	raw, err := os.ReadFile(file + ".key")
	if err == nil {
		return check(strings.Fields(string(raw)))
	}
	if !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("the key beside AUDIT_CHECKPOINT_FILE cannot be read: %w", err)
	}
	private, public, err := audit.NewCheckpointKey(name)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return nil, err
	}
	if err := writeFile(file+".key", []byte(private+"\n"), 0o600); err != nil {
		return nil, err
	}
	return []string{private}, writeFile(file+".pub", []byte(public+"\n"), 0o644)
}

func check(keys []string) ([]string, error) {
	for _, key := range keys {
		if _, err := audit.PublicCheckpointKey(key); err != nil {
			return nil, err
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("the key file beside AUDIT_CHECKPOINT_FILE is empty; restore it, or move it away for a new key")
	}
	return keys, nil
}

// writeFile replaces a file, so that a crash leaves the old or the new content, and not before the
// new one is on disk.
func writeFile(name string, content []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".checkpoint-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // no longer there after the rename
	_, err = f.Write(content)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
