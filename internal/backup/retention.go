package backup

import (
	"slices"
	"strings"
	"time"
)

const (
	namePrefix = "gatehouse-"
	nameSuffix = ".backup"
	nameTime   = "20060102T150405Z"
)

// Name returns the file name of a backup. Names sort by time.
func (h *Header) Name() string {
	id := strings.ReplaceAll(h.ID, "-", "")
	return namePrefix + h.MadeAt.UTC().Format(nameTime) + "-" + id[max(0, len(id)-8):] + nameSuffix
}

// IsName reports whether a file name is one that Name returns.
func IsName(name string) bool {
	rest, ok := strings.CutPrefix(name, namePrefix)
	if !ok {
		return false
	}
	rest, ok = strings.CutSuffix(rest, nameSuffix)
	at, id, cut := strings.Cut(rest, "-")
	if !ok || !cut || len(id) != 8 {
		return false
	}
	_, err := time.Parse(nameTime, at)
	return err == nil
}

// A File is a backup at a place.
type File struct {
	Name    string
	Size    int64
	Header  *Header // nil: the file has none, so it is not a backup
	Whole   bool    // its last line is there and fits its size
	Counted bool    // the policy of retention counts it; set by whoever knows who made it
}

// Good reports whether the file is a complete backup.
func (f *File) Good() bool { return f.Header != nil && f.Whole }

// Newest returns the newest complete backup of a database, or nil.
func Newest(files []File, database string) *File {
	var newest *File
	for i := range files {
		f := &files[i]
		if f.Good() && f.Header.Database == database && (newest == nil || f.Header.MadeAt.After(newest.Header.MadeAt)) {
			newest = f
		}
	}
	return newest
}

// Surplus returns the files that may be deleted so that keep backups of a database that are counted
// stay, the newest ones: what is older than they are. Files of others, incomplete ones and those
// with a time in the future are not deleted. made is the backup that this run has made: a run that
// made none deletes nothing, and nothing is deleted unless made is among the files.
func Surplus(files []File, database string, keep int, made string, now time.Time) []File {
	if keep <= 0 || made == "" {
		return nil
	}
	var good, counted []File
	found := false
	for _, f := range files {
		if !IsName(f.Name) || !f.Good() || f.Header.Database != database || f.Header.Name() != f.Name {
			continue
		}
		if f.Header.MadeAt.After(now.Add(time.Hour)) {
			continue
		}
		found = found || f.Name == made
		good = append(good, f)
		if f.Counted {
			counted = append(counted, f)
		}
	}
	if !found || len(counted) < keep {
		return nil
	}
	newestFirst := func(a, b File) int { return b.Header.MadeAt.Compare(a.Header.MadeAt) }
	slices.SortFunc(counted, newestFirst)
	slices.SortFunc(good, newestFirst)
	oldest := counted[keep-1].Header.MadeAt
	return slices.DeleteFunc(good, func(f File) bool { return f.Name == made || !f.Header.MadeAt.Before(oldest) })
}
