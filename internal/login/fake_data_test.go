package login

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// dataMemory is the part of memory that is a DeletionStore.
type dataMemory struct {
	moveTo   string // the address that the user of the next Disown gets at the same moment
	deleting map[identity.UserID]*identity.Deletion
	since    map[identity.UserID]time.Time
	disowned map[string]bool
}

func newDataMemory() dataMemory {
	return dataMemory{
		deleting: map[identity.UserID]*identity.Deletion{},
		since:    map[identity.UserID]time.Time{},
		disowned: map[string]bool{},
	}
}

func (m *memory) Deletion(_ context.Context, id identity.UserID) (*identity.Deletion, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if d := m.deleting[id]; d != nil {
		return d, nil
	}
	return nil, missing()
}

func (m *memory) CancelDeletion(_ context.Context, id identity.UserID, _ time.Time, ev ...audit.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if d := m.deleting[id]; d == nil || d.Held {
		return missing()
	}
	delete(m.deleting, id)
	m.users[id].Disabled = false
	m.events = append(m.events, ev...)
	return nil
}

func (m *memory) BrowsersSince(_ context.Context, id identity.UserID) (time.Time, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.since[id], nil
}

func (m *memory) SignIns(_ context.Context, id identity.UserID, _ string, limit int) ([]audit.Event, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []audit.Event
	for _, e := range slices.Backward(m.events) {
		if e.User == string(id) && (e.Type == audit.LoginSucceeded || e.Type == audit.LoginFailed) && len(out) < limit {
			out = append(out, e)
		}
	}
	return out, nil
}

func (m *memory) UsedOnce(_ context.Context, name string, _ time.Time) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.disowned[name], nil
}

func (m *memory) Disown(_ context.Context, d Disowning, now time.Time, ev ...audit.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.disowned[d.Once] {
		return consumed()
	}
	if m.moveTo != "" {
		m.users[d.User].Email, m.moveTo = m.moveTo, ""
	}
	if d.Email != m.users[d.User].Email {
		return fault.New(fault.Conflict, "moved")
	}
	m.disowned[d.Once], m.since[d.User] = true, now
	maps.DeleteFunc(m.sessions, func(_ secret.Hash, s *identity.Session) bool { return s.User == d.User })
	if d.ClearPassword {
		m.users[d.User].PasswordHash, m.users[d.User].PasswordChangedAt = "", now
	}
	if !d.Since.IsZero() {
		var own []identity.Credential
		for _, c := range m.creds {
			if c.User == d.User {
				own = append(own, c)
			}
		}
		ended := d.Passkeys(own)
		m.creds = slices.DeleteFunc(m.creds, func(c identity.Credential) bool {
			return slices.Contains(ended, c.ID)
		})
	}
	m.events = append(m.events, ev...)
	return nil
}
