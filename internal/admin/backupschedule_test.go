package admin_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// TestNextBackup says when the next backup is due after such attempts, the newest first.
func TestNextBackup(t *testing.T) {
	now := time.Date(2030, 1, 10, 12, 0, 0, 0, time.UTC)
	at := func(state admin.BackupState, ago time.Duration) admin.Backup {
		return admin.Backup{State: state, StartedAt: now.Add(-ago - time.Second), FinishedAt: now.Add(-ago)}
	}
	good, failed := admin.BackupGood, admin.BackupFailed
	failures := func(n int, last time.Duration) (out []admin.Backup) {
		for i := range n {
			out = append(out, at(failed, last+time.Duration(i)*time.Hour))
		}
		return out
	}
	const never = 1000 * time.Hour
	day := admin.BackupPolicy{Place: "p", Every: 24 * time.Hour}
	often := admin.BackupPolicy{Place: "p", Every: 2 * time.Minute}
	for name, c := range map[string]struct {
		policy admin.BackupPolicy
		list   []admin.Backup
		in     time.Duration // from now
	}{
		"no schedule":           {admin.BackupPolicy{Place: "p"}, nil, never},
		"no place":              {admin.BackupPolicy{Every: time.Hour}, nil, never},
		"first":                 {day, nil, 0},
		"after a good one":      {day, []admin.Backup{at(good, 20*time.Hour)}, 4*time.Hour - time.Second},
		"overdue":               {day, []admin.Backup{at(good, 30*time.Hour)}, -6*time.Hour - time.Second},
		"first failure":         {day, append(failures(1, 0), at(good, 30*time.Hour)), time.Minute},
		"third failure":         {day, append(failures(3, 0), at(good, 30*time.Hour)), 4 * time.Minute},
		"many failures":         {day, append(failures(40, 0), at(good, 99*time.Hour)), time.Hour},
		"only failures":         {day, failures(50, 10*time.Minute), 50 * time.Minute},
		"failure, short period": {often, failures(5, 0), 2 * time.Minute},
		"failure by hand":       {day, append(failures(1, 0), at(good, time.Hour)), 23*time.Hour - time.Second},
		"one runs":              {day, []admin.Backup{at(admin.BackupRunning, time.Hour), at(good, 25*time.Hour)}, -time.Hour - time.Second},
		"a clock was ahead":     {day, []admin.Backup{at(good, -365*24*time.Hour), at(good, 25*time.Hour)}, -time.Hour - time.Second},
		"a failure ahead":       {day, []admin.Backup{at(failed, -365*24*time.Hour)}, 0},
	} {
		got := admin.NextBackup(c.policy, c.list, now)
		want := now.Add(c.in)
		if c.in == never {
			want = time.Time{}
		}
		if !got.Equal(want) {
			t.Errorf("%s: due at %v, want %v", name, got, want)
		}
	}
}

// TestFinishBackup checks that long error texts are cut before they are recorded.
func TestFinishBackup(t *testing.T) {
	b := &admin.Backup{ID: "x", Place: "p"}
	ev := b.Finish(time.Unix(1, 0), errors.New(strings.Repeat("é", 5000)))
	if b.State != admin.BackupFailed || len(b.Error) > 1010 || ev.Detail["error"] != b.Error {
		t.Errorf("%+v %+v", b, ev)
	}
	ev = b.Pruned([]string{"a", "b"}, 7)
	testkit.Equal(t, "names", ev.Detail["names"], "a b")
}
