package ui

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// publicDir is the directory below TEMPLATES_PATH whose files are served, each at its path below
// it: public/images/logo.png is at /images/logo.png.
const publicDir = "public"

// Bounds of the public files, which are held in memory.
const (
	maxPublicFile  = 4 << 20 // bytes
	maxPublicFiles = 1000
	maxPublicBytes = 64 << 20
)

// publicTypes returns the types of files that are served, by their extension. There are no pages
// and no scripts among them: pages that ask for passwords run only our own scripts.
func publicTypes() map[string]string {
	return map[string]string{
		".png":   "image/png",
		".jpg":   "image/jpeg",
		".jpeg":  "image/jpeg",
		".gif":   "image/gif",
		".webp":  "image/webp",
		".avif":  "image/avif",
		".svg":   "image/svg+xml",
		".ico":   "image/x-icon",
		".woff":  "font/woff",
		".woff2": "font/woff2",
		".css":   "text/css; charset=utf-8",
		".txt":   "text/plain; charset=utf-8",
	}
}

// publicFile is a file that the operator serves.
type publicFile struct {
	body        []byte
	contentType string
	tag         string // ETag
}

// loadPublic reads all public files, by the path of their address. An error names the file.
func loadPublic(files fs.FS) (map[string]*publicFile, error) {
	found, total := map[string]*publicFile{}, 0
	if files == nil {
		return found, nil
	}
	if _, err := fs.Stat(files, publicDir); err != nil {
		return found, nil // there are none
	}
	err := fs.WalkDir(files, publicDir, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if hidden := strings.HasPrefix(e.Name(), ".") && e.Name() != ".well-known"; hidden {
			if e.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if info, err := fs.Stat(files, name); err != nil || info.IsDir() {
			return err // a link may lead to a directory; the tree itself is walked
		}
		file, err := readPublic(files, name)
		if err != nil {
			return err
		}
		total += len(file.body)
		if len(found) >= maxPublicFiles || total > maxPublicBytes {
			return fault.New(fault.Invalid, "%s: there are more than %d files or %d bytes below %s", name,
				maxPublicFiles, maxPublicBytes, publicDir)
		}
		found[strings.TrimPrefix(name, publicDir)] = file
		return nil
	})
	return found, err
}

// readPublic reads one public file.
func readPublic(files fs.FS, name string) (*publicFile, error) {
	contentType, ok := publicTypes()[strings.ToLower(path.Ext(name))]
	if !ok {
		return nil, fault.New(fault.Invalid, "%s: files of this type are not served; "+
			"serve pictures, fonts, style sheets and texts", name)
	}
	body, err := fs.ReadFile(files, name)
	if err != nil {
		return nil, fault.New(fault.Invalid, "%s: %v", name, err)
	}
	if len(body) > maxPublicFile {
		return nil, fault.New(fault.Invalid, "%s: a file has at most %d bytes", name, maxPublicFile)
	}
	sum := sha256.Sum256(body)
	return &publicFile{body, contentType, `"` + hex.EncodeToString(sum[:8]) + `"`}, nil
}

// publicAt returns the public file at an address, or nil.
func (p *Pages) publicAt(address string) *publicFile {
	if !p.custom.Reload || p.custom.Files == nil {
		return p.public[address]
	}
	name := publicDir + path.Clean("/"+address)
	if segments := strings.Split(name, "/"); slices.ContainsFunc(segments, func(s string) bool {
		return strings.HasPrefix(s, ".") && s != ".well-known"
	}) || name != publicDir+address {
		return nil
	}
	if info, err := fs.Stat(p.custom.Files, name); err != nil || info.IsDir() {
		return nil
	}
	file, err := readPublic(p.custom.Files, name)
	if err != nil {
		return nil
	}
	return file
}

// servePublic serves a public file, if there is one at the request's address, and reports whether.
func (s *Server) servePublic(w http.ResponseWriter, r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	file := s.pages.publicAt(r.URL.Path)
	if file == nil {
		return false
	}
	h := w.Header()
	h.Set("Content-Type", file.contentType)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox") // for an SVG that is opened by itself
	h.Set("Cache-Control", "public, max-age=300")
	h.Set("ETag", file.tag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(file.body))
	return true
}
