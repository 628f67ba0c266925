package acme

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// Store keeps what certificates are made of for all servers, and grants leases. The values are
// sealed.
type Store interface {
	PutCertificateFile(ctx context.Context, name, value string, now time.Time) error
	// CertificateFile returns a fault of the kind NotFound if there is no such entry.
	CertificateFile(ctx context.Context, name string) (value string, modified time.Time, err error)
	DeleteCertificateFiles(ctx context.Context, name string) error
	CertificateFiles(ctx context.Context, name string) ([]string, error)
	AcquireLease(ctx context.Context, name, holder string, ttl time.Duration) (bool, error)
	ReleaseLease(ctx context.Context, name, holder string) error
}

const (
	lockTTL   = 30 * time.Second // how long a lock outlives a server that was killed
	lockRenew = lockTTL / 3
	lockRetry = 500 * time.Millisecond
)

// storage is certmagic's storage in the database. All values are sealed, bound to their names:
// whoever can write to the database cannot exchange one entry for another.
type storage struct {
	store Store
	box   *secret.Box
	now   func() time.Time
	log   func(text string, err error)

	mu    sync.Mutex
	locks map[string]lock
}

// A lock is a lease that this server renews while it works under it.
type lock struct {
	holder string
	end    func()
}

var (
	_ certmagic.Storage   = (*storage)(nil)
	_ certmagic.TryLocker = (*storage)(nil)
)

// Store seals and stores a value.
func (s *storage) Store(ctx context.Context, key string, value []byte) error {
	return s.store.PutCertificateFile(ctx, key, s.box.Seal(value, key), s.now())
}

// Load reads a value.
func (s *storage) Load(ctx context.Context, key string) ([]byte, error) {
	value, _, err := s.load(ctx, key)
	return value, err
}

func (s *storage) load(ctx context.Context, key string) ([]byte, time.Time, error) {
	sealed, modified, err := s.store.CertificateFile(ctx, key)
	if fault.KindOf(err) == fault.NotFound {
		return nil, modified, fs.ErrNotExist
	}
	if err != nil {
		return nil, modified, err
	}
	value, err := s.box.Open(sealed, key)
	return value, modified, err
}

// Delete deletes a value, and all below its name.
func (s *storage) Delete(ctx context.Context, key string) error {
	return s.store.DeleteCertificateFiles(ctx, key)
}

// Exists reports whether there is a value of this name, or below it.
func (s *storage) Exists(ctx context.Context, key string) bool {
	_, err := s.Stat(ctx, key)
	return err == nil
}

// List returns the names below a path: all of them, or only those of the next level.
func (s *storage) List(ctx context.Context, path string, recursive bool) ([]string, error) {
	names, err := s.store.CertificateFiles(ctx, path)
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, fs.ErrNotExist
	}
	if recursive {
		return names, nil
	}
	prefix := ""
	if path != "" {
		prefix = strings.TrimSuffix(path, "/") + "/"
	}
	var out []string
	for _, name := range names {
		step, _, _ := strings.Cut(strings.TrimPrefix(name, prefix), "/")
		out = append(out, prefix+step)
	}
	return slices.Compact(out), nil // equal ones stand together: the names are sorted
}

// Stat describes a value, or a name that has values below it.
func (s *storage) Stat(ctx context.Context, key string) (certmagic.KeyInfo, error) {
	value, modified, err := s.load(ctx, key)
	switch {
	case err == nil:
		return certmagic.KeyInfo{Key: key, Modified: modified, Size: int64(len(value)), IsTerminal: true}, nil
	case !errors.Is(err, fs.ErrNotExist):
		return certmagic.KeyInfo{}, err
	}
	if below, err := s.store.CertificateFiles(ctx, key); err != nil || len(below) == 0 {
		return certmagic.KeyInfo{}, errors.Join(err, fs.ErrNotExist)
	}
	return certmagic.KeyInfo{Key: key}, nil
}

// Lock waits for a lock, which ends with Unlock or with this server.
func (s *storage) Lock(ctx context.Context, name string) error {
	again := time.NewTicker(lockRetry)
	defer again.Stop()
	for {
		got, err := s.TryLock(ctx, name)
		if got || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-again.C:
		}
	}
}

// TryLock takes a lock if nobody has it.
func (s *storage) TryLock(ctx context.Context, name string) (bool, error) {
	holder := secret.NewID(s.now())
	got, err := s.store.AcquireLease(ctx, leaseName(name), holder, lockTTL)
	if err != nil || !got {
		return false, err
	}
	renewing, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.renew(renewing, name, holder)
	}()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.locks[name] = lock{holder, func() { cancel(); <-done }}
	return true, nil
}

// renew keeps a lock until ctx ends. While the database does not answer, it keeps trying.
func (s *storage) renew(ctx context.Context, name, holder string) {
	tick := time.NewTicker(lockRenew)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		got, err := s.store.AcquireLease(ctx, leaseName(name), holder, lockTTL)
		if err == nil && !got {
			err = errors.New("another server has taken it over")
		}
		if err != nil && ctx.Err() == nil {
			s.log("the lock of a certificate cannot be renewed", err)
		}
	}
}

// Unlock ends a lock.
func (s *storage) Unlock(ctx context.Context, name string) error {
	s.mu.Lock()
	l, ok := s.locks[name]
	delete(s.locks, name)
	s.mu.Unlock()
	if !ok {
		return nil
	}
	l.end()
	return s.store.ReleaseLease(context.WithoutCancel(ctx), leaseName(name), l.holder)
}

func leaseName(name string) string { return "certificate:" + name }
