package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gatehouse-id/gatehouse/internal/backup"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/s3"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// backupPlace is where backup files are: a folder or a bucket.
type backupPlace interface {
	// String names the place, without secrets.
	String() string
	// Room returns how many bytes are free, or -1 where that is unknown.
	Room() int64
	// Put creates a file of what write writes, whose SHA-256 sum returns afterwards: all of it, or
	// nothing under the name. The file is read again before it gets its name.
	Put(ctx context.Context, name string, write func(io.Writer) error, sum func() string) error
	List(ctx context.Context) ([]backup.File, error)
	Open(ctx context.Context, name string) (io.ReadCloser, error)
	Delete(ctx context.Context, name string) error
	// Check returns why no backup can be written here, without writing anything.
	Check(ctx context.Context) error
}

// openPlace returns the place that a text names, and the name of a file there, or "" for a folder
// or a prefix.
func openPlace(e *env, text string) (backupPlace, string, error) {
	if rest, ok := strings.CutPrefix(text, "s3://"); ok {
		return openBucket(e, rest)
	}
	info, err := os.Stat(text)
	if strings.HasSuffix(text, string(filepath.Separator)) || err == nil && info.IsDir() {
		return &folder{path: filepath.Clean(text)}, "", nil
	}
	if text == "" {
		return nil, "", fault.New(fault.Invalid, "name a file, a folder or s3://BUCKET/PREFIX, or set BACKUP_TO")
	}
	return &folder{path: filepath.Dir(text), replace: true}, filepath.Base(text), nil
}

// openTarget returns the place of BACKUP_TO, which is a folder even if it does not exist yet.
func openTarget(e *env, text string) (backupPlace, error) {
	if !strings.HasPrefix(text, "s3://") && text != "" {
		return &folder{path: filepath.Clean(text), create: true}, nil
	}
	place, name, err := openPlace(e, text)
	if err == nil && name != "" {
		err = fault.New(fault.Invalid, "BACKUP_TO must be a folder or s3://BUCKET/PREFIX, and not the name of a file")
	}
	return place, err
}

// folder is a folder on this machine.
type folder struct {
	path    string
	create  bool // make it if it does not exist
	replace bool // an existing backup of the name is replaced
}

// String returns the path.
func (f *folder) String() string { return f.path }

// Room returns what the file system has free.
func (f *folder) Room() int64 { return freeSpace(f.path) }

// partialPrefix and partial are the beginning and the end of the names of files that are being
// written.
const (
	partialPrefix = ".gatehouse-"
	partial       = ".partial"
)

// Put writes another file first: a crash leaves a file whose name no backup has.
func (f *folder) Put(ctx context.Context, name string, write func(io.Writer) error, sum func() string) (err error) {
	if f.create {
		if err := os.MkdirAll(f.path, 0o700); err != nil {
			return fault.Wrap(fault.Unavailable, err, "the folder of BACKUP_TO cannot be created")
		}
	}
	f.removePartial()
	to := filepath.Join(f.path, name)
	if _, err := f.replaces(to); err != nil { // before the work, too
		return err
	}
	file, err := os.CreateTemp(f.path, partialPrefix+"backup-*"+partial) // its mode is 0600
	if err != nil {
		return fault.Wrap(fault.Unavailable, err, "the backup cannot be written to %s", f.path)
	}
	defer func() {
		_ = file.Close()
		if err != nil {
			_ = os.Remove(file.Name())
		}
	}()
	if err := write(file); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return fault.Wrap(fault.Unavailable, err, "the backup cannot be written to %s", f.path)
	}
	if err := readAgain(ctx, file, sum()); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	replaces, err := f.replaces(to)
	if err != nil {
		return err
	}
	if replaces {
		err = os.Rename(file.Name(), to)
	} else {
		err = renameNew(file.Name(), to)
	}
	if err != nil {
		return fault.Wrap(fault.Unavailable, err, "the backup cannot get its name")
	}
	return syncDir(f.path)
}

// replaces reports whether a new backup replaces a file, which it does with an older backup and an
// empty file if the folder allows that. It returns an error if there is anything else.
func (f *folder) replaces(path string) (bool, error) {
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fault.Wrap(fault.Unavailable, err, "%s cannot be read", path)
	}
	if !f.replace {
		return false, fault.New(fault.Conflict, "%s exists already", path)
	}
	if !info.Mode().IsRegular() || info.Size() > 0 && f.look(filepath.Base(path)).Header == nil {
		return false, fault.New(fault.Conflict, "%s exists already and is not a backup, so it is not replaced; "+
			"name another file", path)
	}
	return true, nil
}

// renameNew renames a file to a name that must be free. It returns fault.Conflict if it is not, on
// file systems without hard links only if it was not shortly before.
func renameNew(from, to string) error {
	err := os.Link(from, to)
	switch {
	case err == nil:
		return os.Remove(from)
	case !errors.Is(err, os.ErrExist):
		if _, err := os.Lstat(to); errors.Is(err, os.ErrNotExist) {
			return os.Rename(from, to)
		}
	}
	return fault.New(fault.Conflict, "%s exists already", to)
}

// readAgain compares what is on the disk with what was written.
func readAgain(ctx context.Context, file *os.File, want string) error {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	h := sha256.New()
	for buf := make([]byte, 1<<20); ; {
		n, err := file.Read(buf)
		h.Write(buf[:n])
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fault.Wrap(fault.Unavailable, err, "the backup cannot be read again")
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(backupRest):
		}
	}
	if hex.EncodeToString(h.Sum(nil)) != want {
		return fault.New(fault.Unavailable, "the backup on the disk is not what was written; check the disk")
	}
	return nil
}

// removePartial removes what crashed runs have left a day ago or longer.
func (f *folder) removePartial() {
	entries, _ := os.ReadDir(f.path)
	for _, entry := range entries {
		name := entry.Name()
		if !strings.HasPrefix(name, partialPrefix) || !strings.HasSuffix(name, partial) || !entry.Type().IsRegular() {
			continue
		}
		if info, err := entry.Info(); err == nil && time.Since(info.ModTime()) > 24*time.Hour {
			_ = os.Remove(filepath.Join(f.path, name))
		}
	}
}

// syncDir makes what was renamed in a folder last.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// List returns the files of the folder that look like backups by their name or their content.
func (f *folder) List(context.Context) ([]backup.File, error) {
	entries, err := os.ReadDir(f.path)
	if errors.Is(err, os.ErrNotExist) && f.create {
		return nil, nil
	}
	if err != nil {
		return nil, fault.Wrap(fault.Unavailable, err, "the folder %s cannot be read", f.path)
	}
	var out []backup.File
	for _, entry := range entries {
		if !entry.Type().IsRegular() || strings.HasSuffix(entry.Name(), partial) {
			continue
		}
		file := f.look(entry.Name())
		if file.Header != nil || backup.IsName(file.Name) {
			out = append(out, file)
		}
	}
	return out, nil
}

func (f *folder) look(name string) backup.File {
	out := backup.File{Name: name}
	file, err := os.Open(filepath.Join(f.path, name))
	if err != nil {
		return out
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return out
	}
	out.Size = info.Size()
	start := make([]byte, min(out.Size, int64(backup.HeaderRoom)))
	end := make([]byte, min(out.Size, int64(backup.FooterSize)))
	if _, err := io.ReadFull(file, start); err != nil {
		return out
	}
	if _, err := file.ReadAt(end, out.Size-int64(len(end))); err != nil {
		return out
	}
	return look(out, start, end)
}

// look completes a file by its beginning and its end.
func look(f backup.File, start, end []byte) backup.File {
	h, err := backup.ParseHeader(start)
	if err != nil {
		return f
	}
	f.Header = h
	footer, err := backup.ParseFooter(end)
	f.Whole = err == nil && footer.Size+int64(backup.FooterSize) == f.Size
	return f
}

// Open opens a file of the folder.
func (f *folder) Open(_ context.Context, name string) (io.ReadCloser, error) {
	file, err := os.Open(filepath.Join(f.path, name))
	if err != nil {
		return nil, fault.Wrap(fault.NotFound, err, "the backup cannot be opened")
	}
	return file, nil
}

// Delete removes a file of the folder.
func (f *folder) Delete(_ context.Context, name string) error {
	return os.Remove(filepath.Join(f.path, filepath.Base(name)))
}

// Check looks whether the folder can be written to, or created.
func (f *folder) Check(context.Context) error {
	path := f.path
	for {
		info, err := os.Stat(path)
		switch {
		case err == nil && !info.IsDir():
			return fault.New(fault.Invalid, "%s is not a folder", path)
		case err == nil:
			return writable(path)
		case !errors.Is(err, os.ErrNotExist) || !f.create || path == filepath.Dir(path):
			return err
		}
		path = filepath.Dir(path)
	}
}

// bucket is a prefix of an S3 bucket.
type bucket struct {
	client *s3.Client
	name   string
	prefix string // ends in a slash, or is ""
	now    func() time.Time
}

// openBucket returns the place of BUCKET/PREFIX. What ends in .backup is a file.
func openBucket(e *env, rest string) (backupPlace, string, error) {
	name, prefix, _ := strings.Cut(rest, "/")
	file := ""
	if strings.HasSuffix(prefix, ".backup") {
		i := strings.LastIndexByte(prefix, '/')
		prefix, file = prefix[:i+1], prefix[i+1:]
	} else if prefix = strings.Trim(prefix, "/"); prefix != "" {
		prefix += "/"
	}
	endpoint := e.getenv("AWS_ENDPOINT_URL_S3")
	if endpoint == "" {
		endpoint = e.getenv("AWS_ENDPOINT_URL")
	}
	region := e.getenv("AWS_REGION")
	if region == "" {
		region = e.getenv("AWS_DEFAULT_REGION")
	}
	c, err := s3.New(s3.Config{
		Endpoint: endpoint,
		Region:   region,
		Bucket:   name,
		KeyID:    e.getenv("AWS_ACCESS_KEY_ID"),
		Secret:   e.getenv("AWS_SECRET_ACCESS_KEY"),
		Token:    e.getenv("AWS_SESSION_TOKEN"),
		Now:      e.now,
		HTTP: &http.Client{
			Transport: &http.Transport{
				Proxy:                 http.ProxyFromEnvironment,
				ResponseHeaderTimeout: 2 * time.Minute,
				TLSHandshakeTimeout:   15 * time.Second,
				IdleConnTimeout:       30 * time.Second,
				MaxIdleConnsPerHost:   parallelLooks,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	})
	if err != nil {
		return nil, "", err
	}
	return &bucket{c, name, prefix, e.now}, file, nil
}

// String returns the address.
func (b *bucket) String() string { return "s3://" + b.name + "/" + b.prefix }

// Room returns that it is unknown.
func (b *bucket) Room() int64 { return -1 }

const (
	// staleUpload is the age from which nothing uploads any more: a backup takes a day at most, and
	// clocks differ.
	staleUpload = 25 * time.Hour
	sweepTime   = time.Minute // in which uploads that others have left are looked for
)

// abortStale aborts what killed runs have left of their uploads, of files with the names of backups
// or with a given one: the server charges for the parts until somebody does.
func (b *bucket) abortStale(ctx context.Context, own string) error {
	ctx, cancel := context.WithTimeout(ctx, sweepTime)
	defer cancel()
	all, err := b.client.Uploads(ctx, b.prefix)
	if err != nil {
		return err
	}
	for _, u := range all {
		name := strings.TrimPrefix(u.Key, b.prefix)
		if !backup.IsName(name) && name != own || u.Initiated.IsZero() || b.now().Sub(u.Initiated) < staleUpload {
			continue
		}
		err = errors.Join(err, b.client.Abort(ctx, u))
	}
	return err
}

// Put uploads a file. The server has checked the hash of each part, so that only the size is left
// to check. A file of another size is deleted; if the size cannot be asked, the file counts.
func (b *bucket) Put(ctx context.Context, name string, write func(io.Writer) error, _ func() string) error {
	_ = b.abortStale(ctx, name) // the next run tries again, and doctor says why it cannot
	n := &counter64{}
	err := b.client.Put(ctx, b.prefix+name, func(w io.Writer) error { return write(io.MultiWriter(w, n)) })
	if errors.Is(err, s3.ErrExists) {
		return fault.New(fault.Conflict, "%s%s exists already", b, name)
	}
	if err != nil {
		return err
	}
	size, err := b.client.Size(ctx, b.prefix+name) // tries several times
	if err != nil && !s3.Unreadable(err) {
		return nil // the server has confirmed the whole upload
	}
	if err == nil && size != n.n {
		err = fault.New(fault.Unavailable, "the backup in the bucket has %d bytes and not the %d that were sent", size, n.n)
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		err = errors.Join(err, b.client.Delete(end, b.prefix+name))
	}
	return err
}

type counter64 struct{ n int64 }

// Write counts.
func (c *counter64) Write(p []byte) (int, error) { c.n += int64(len(p)); return len(p), nil }

// maxLooked is how many files of a bucket are looked into, the newest ones by their names; of the
// rest nobody knows whether they are whole. parallelLooks is how many at a time.
const (
	maxLooked     = 1000
	parallelLooks = 8
)

// List returns the files directly below the prefix whose names are those of backups.
func (b *bucket) List(ctx context.Context) ([]backup.File, error) {
	all, err := b.client.List(ctx, b.prefix)
	if err != nil {
		return nil, err
	}
	var out []backup.File
	for _, o := range all {
		if name := strings.TrimPrefix(o.Key, b.prefix); backup.IsName(name) {
			out = append(out, backup.File{Name: name, Size: o.Size})
		}
	}
	slices.SortFunc(out, func(x, y backup.File) int { return strings.Compare(x.Name, y.Name) })
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallelLooks)
	for i := max(0, len(out)-maxLooked); i < len(out); i++ {
		group.Go(func() (err error) {
			out[i], err = b.look(ctx, out[i])
			return err
		})
	}
	return out, group.Wait()
}

// look completes a file by its content. An object that cannot be read, such as one in an archive,
// does not hide the others.
func (b *bucket) look(ctx context.Context, f backup.File) (backup.File, error) {
	if f.Size == 0 {
		return f, nil
	}
	start, err := b.part(ctx, b.prefix+f.Name, 0, min(f.Size, int64(backup.HeaderRoom)))
	if s3.Unreadable(err) {
		return f, nil
	}
	if err != nil {
		return f, err
	}
	end, err := b.part(ctx, b.prefix+f.Name, -min(f.Size, int64(backup.FooterSize)), 0)
	if s3.Unreadable(err) {
		return f, nil
	}
	if err != nil {
		return f, err
	}
	return look(f, start, end), nil
}

// Check lists the bucket.
func (b *bucket) Check(ctx context.Context) error { return b.client.Check(ctx, b.prefix) }

// CheckUploads returns why uploads that killed runs have left cannot be found, or nil.
func (b *bucket) CheckUploads(ctx context.Context) error {
	_, err := b.client.Uploads(ctx, b.prefix)
	return err
}

func (b *bucket) part(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	r, err := b.client.Get(ctx, key, offset, length)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(io.LimitReader(r, int64(backup.HeaderRoom)))
}

// Open reads a file.
func (b *bucket) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	return b.client.Get(ctx, b.prefix+name, 0, 0)
}

// Delete deletes a file.
func (b *bucket) Delete(ctx context.Context, name string) error {
	return b.client.Delete(ctx, b.prefix+name)
}

// findBackup opens the backup that a text names: a file, or the newest one of a folder or prefix
// that was made with one of the keys, or with any if there are none.
func findBackup(ctx context.Context, e *env, text string, keys []*secret.Keys) (io.ReadCloser, string, error) {
	place, name, err := openPlace(e, text)
	if err != nil {
		return nil, "", err
	}
	if name == "" {
		files, err := place.List(ctx)
		if err != nil {
			return nil, "", err
		}
		newest, err := newestOf(files, keys, e.now())
		if err != nil {
			return nil, "", fmt.Errorf("%s: %w", place, err)
		}
		name = newest.Name
	}
	r, err := place.Open(ctx, name)
	if err != nil {
		return nil, "", err
	}
	return r, fmt.Sprintf("%s (%s)", name, place), nil
}

// newestOf returns the newest complete backup that was made with one of the keys. Nothing proves
// yet what the files say about themselves: it leaves out what is from the future, and returns an
// error if there are backups of several databases, of which somebody has to choose.
func newestOf(files []backup.File, keys []*secret.Keys, now time.Time) (*backup.File, error) {
	files = slices.DeleteFunc(files, func(f backup.File) bool {
		return !f.Good() || len(keys) > 0 && keyOf(f.Header, keys) == nil || f.Header.MadeAt.After(now.Add(time.Hour))
	})
	if len(files) == 0 {
		text := "there is no complete backup"
		if len(keys) > 0 {
			text += " that was made with this SECRET_KEY"
		}
		return nil, fault.New(fault.NotFound, "%s", text)
	}
	newest := &files[0]
	for i := range files {
		f := &files[i]
		if f.Header.Database != newest.Header.Database {
			return nil, fault.New(fault.Conflict, "there are backups of several databases; name the file")
		}
		if f.Header.MadeAt.After(newest.Header.MadeAt) {
			newest = f
		}
	}
	return newest, nil
}
