package backup_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/backup"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// TestSurplus deletes only complete backups of this database, and never so many that fewer than the
// asked number stay.
func TestSurplus(t *testing.T) {
	now := time.Date(2030, 1, 10, 12, 0, 0, 0, time.UTC)
	file := func(database string, daysAgo int, whole bool) backup.File {
		h := &backup.Header{ID: fmt.Sprintf("0000%04d", 100+daysAgo), Database: database, MadeAt: now.AddDate(0, 0, -daysAgo)}
		return backup.File{Name: h.Name(), Header: h, Whole: whole, Size: 100, Counted: true}
	}
	renamed := file("db", 9, true)
	renamed.Name = "best.backup"
	foreign := backup.File{Name: "gatehouse-20200101T000000Z-0000abcd.backup", Size: 100}
	empty := file("db", 8, true)
	empty.Header = nil
	var ours []backup.File
	for day := range 6 {
		ours = append(ours, file("db", day, true))
	}
	others := []backup.File{
		file("other", 7, true), file("db", 1, false), file("db", -365, true), renamed, foreign, empty,
	}
	all := append(others, ours...)
	made := ours[0].Name
	var planted []backup.File
	for range 6 {
		f := file("db", 0, true)
		f.Counted = false
		planted = append(planted, f)
	}
	oldPlanted := file("db", 9, true)
	oldPlanted.Counted = false
	for name, c := range map[string]struct {
		files []backup.File
		keep  int
		made  string
		want  []backup.File
	}{
		"three stay":           {all, 3, made, ours[3:]},
		"all stay":             {all, 0, made, nil},
		"too few":              {all, 6, made, nil},
		"a run that made none": {all, 3, "", nil},
		"not there":            {all, 3, "gatehouse-20300110T120000Z-ffffffff.backup", nil},
		"only broken ones":     {append(others[:2:2], ours[0]), 1, made, nil},
		"the clock went back":  {ours, 2, ours[5].Name, ours[2:5]},
		"others do not count":  {append(planted, ours...), 6, made, nil},
		"older than counted":   {append([]backup.File{oldPlanted}, ours...), 6, made, []backup.File{oldPlanted}},
		"nothing at all":       {nil, 1, made, nil},
	} {
		got := backup.Surplus(c.files, "db", c.keep, c.made, now)
		names := func(files []backup.File) (out string) {
			for _, f := range files {
				out += f.Name + " "
			}
			return out
		}
		testkit.Equal(t, name, names(got), names(c.want))
	}
}
