package login

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// memoryRecovery is a request with the hashes of its links.
type memoryRecovery struct {
	Recovery
	links map[RecoveryLink]secret.Hash
}

func (m *memory) TrustedBrowser(
	ctx context.Context, u identity.UserID, id string, now time.Time,
) (*TrustedBrowser, error) {
	all, _ := m.TrustedBrowsers(ctx, u, now)
	for _, b := range all {
		if b.ID == id {
			return &b, nil
		}
	}
	return nil, missing()
}

func (m *memory) TrustedBrowsers(_ context.Context, u identity.UserID, now time.Time) ([]TrustedBrowser, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []TrustedBrowser
	for _, b := range m.trust {
		if b.User == u && now.Before(b.ExpiresAt) {
			out = append(out, b)
		}
	}
	slices.SortFunc(out, func(a, b TrustedBrowser) int { return cmp.Compare(b.ID, a.ID) })
	return out, nil
}

func (m *memory) PutTrustedBrowser(_ context.Context, b *TrustedBrowser, _ int, ev ...audit.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.trust[b.ID] = *b
	m.events = append(m.events, ev...)
	return nil
}

func (m *memory) TouchTrustedBrowser(_ context.Context, id string, now time.Time, ip, agent string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.trust[id]
	b.LastUsedAt, b.IP, b.Agent = now, ip, agent
	m.trust[id] = b
	return nil
}

func (m *memory) DeleteTrustedBrowser(_ context.Context, u identity.UserID, id string, ev ...audit.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.trust[id].User != u {
		return missing()
	}
	delete(m.trust, id)
	m.events = append(m.events, ev...)
	return nil
}

func (m *memory) DeleteTrustedBrowsers(_ context.Context, u identity.UserID, except string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, b := range m.trust {
		if b.User == u && id != except {
			delete(m.trust, id)
		}
	}
	return nil
}

func (m *memory) Recovery(_ context.Context, u identity.UserID, now time.Time) (*Recovery, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r := m.recoveries[u]; r != nil && now.Before(r.ExpiresAt) {
		c := r.Recovery
		return &c, nil
	}
	return nil, missing()
}

func (m *memory) RecoveryByLink(
	_ context.Context, kind RecoveryLink, h secret.Hash, now time.Time,
) (*Recovery, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.recoveries {
		if r.links[kind] == h && now.Before(r.ExpiresAt) {
			c := r.Recovery
			return &c, nil
		}
	}
	return nil, missing()
}

func (m *memory) PutRecovery(
	_ context.Context, r *Recovery, _ string, start secret.Hash, ev ...audit.Event,
) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	old := m.recoveries[r.User]
	if old != nil && (!old.StartedAt.IsZero() || old.ID != r.ID) && r.CreatedAt.Before(old.ExpiresAt) &&
		old.State == r.State {
		return fault.New(fault.Conflict, "there is another request")
	}
	m.recoveries[r.User] = &memoryRecovery{*r, map[RecoveryLink]secret.Hash{RecoveryStart: start}}
	m.events = append(m.events, ev...)
	return nil
}

func (m *memory) StartRecovery(_ context.Context, r *Recovery, start, stop secret.Hash, ev ...audit.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	old := m.recoveries[r.User]
	if old == nil || old.links[RecoveryStart] != start || !old.StartedAt.IsZero() {
		return consumed()
	}
	old.Recovery, old.links = *r, map[RecoveryLink]secret.Hash{RecoveryStop: stop}
	m.events = append(m.events, ev...)
	return nil
}

func (m *memory) OfferRecovery(
	_ context.Context, id string, finish secret.Hash, now time.Time, again bool, ev ...audit.Event,
) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.recoveries {
		if r.ID == id && !r.StartedAt.IsZero() && !now.Before(r.ReadyAt) && (again || r.links[RecoveryFinish] == "") {
			r.links[RecoveryFinish] = finish
			m.events = append(m.events, ev...)
			return nil
		}
	}
	return missing()
}

func (m *memory) EndRecovery(_ context.Context, id string, ev ...audit.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for u, r := range m.recoveries {
		if r.ID == id && !r.StartedAt.IsZero() {
			delete(m.recoveries, u)
			m.events = append(m.events, ev...)
			return nil
		}
	}
	return missing()
}

func (m *memory) FinishRecovery(
	ctx context.Context, r *Recovery, finish secret.Hash, proved *identity.AccountState, now time.Time, _ bool,
	ev ...audit.Event,
) error {
	m.mu.Lock()
	old := m.recoveries[r.User]
	ok := old != nil && old.links[RecoveryFinish] == finish && !now.Before(old.ReadyAt) && m.inState(r.User, proved)
	delete(m.recoveries, r.User)
	m.mu.Unlock()
	if !ok {
		return consumed()
	}
	m.drop(func(c identity.Credential) bool { return c.User == r.User })
	_ = m.DeleteTrustedBrowsers(ctx, r.User, "")
	return m.EndOtherSessions(ctx, r.User, "", now, true, ev...)
}
