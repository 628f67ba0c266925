package admin

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/jose"
	"github.com/gatehouse-id/gatehouse/internal/spell"
)

// States of a key, as jose.StoredKey.State returns them.
const (
	keyNext   = "next"
	keyActive = "active"
)

// KeyRotation asks for a new signing key.
type KeyRotation struct {
	Algorithm    string        // "": that of the settings
	Now          bool          // sign with the new key at once
	PublishAhead time.Duration // how long the key is published before it signs, so that everybody has it
}

// RotatedKey is a new key with those that it replaces.
type RotatedKey struct {
	Key            jose.StoredKey
	Retires        []string  // ids of the keys that stop signing when it starts
	PublishedUntil time.Time // when those are withdrawn: no token that they signed is valid by then
}

// Keys returns the signing keys, oldest first.
func (o *Operations) Keys(_ context.Context, a Actor) ([]jose.StoredKey, error) {
	if err := o.authorize(a, ScopeKeysRead); err != nil {
		return nil, err
	}
	return o.parts.Ring.Keys(), nil
}

// RotateKey stores the next key of an algorithm and sets the end of the keys before it.
func (o *Operations) RotateKey(ctx context.Context, a Actor, in KeyRotation) (*RotatedKey, error) {
	if err := o.authorize(a, ScopeKeysWrite); err != nil {
		return nil, err
	}
	if in.Algorithm == "" {
		in.Algorithm = o.cfg.Algorithm
	}
	if err := checkAlgorithm(in.Algorithm); err != nil {
		return nil, err
	}
	r, err := o.planRotation(ctx, in, o.parts.Now())
	if err != nil {
		return nil, err
	}
	out := &RotatedKey{
		Key:            r.key,
		Retires:        slices.Concat(r.retire, r.hasten),
		PublishedUntil: r.expires,
	}
	return out, o.rotate(ctx, a, r)
}

func checkAlgorithm(alg string) error {
	known := jose.Algorithms()
	if slices.Contains(known, alg) {
		return nil
	}
	if near := spell.Nearest(alg, known); near != "" {
		return fault.InvalidField("alg", "there is no signature algorithm %q; did you mean %s?", alg, near)
	}
	return fault.InvalidField("alg", "there is no signature algorithm %q; use one of %s", alg, strings.Join(known, ", "))
}

// rotation is a planned change of the signing key.
type rotation struct {
	key     jose.StoredKey
	retire  []string // keys that have no end yet
	hasten  []string // keys whose end is set, but later than this one
	expires time.Time
}

// planRotation makes the key and finds those that it replaces.
func (o *Operations) planRotation(ctx context.Context, in KeyRotation, now time.Time) (*rotation, error) {
	starts := now.Add(in.PublishAhead)
	if in.Now {
		starts = now
	}
	r := &rotation{expires: starts.Add(o.longestToken())}
	for _, k := range o.parts.Ring.Keys() {
		switch state := k.State(now); {
		case k.Alg != in.Algorithm || state != keyNext && state != keyActive:
		case state == keyNext && !in.Now:
			return nil, fault.New(fault.Conflict,
				"key %s is published already and signs from %s; wait for it, or sign with a new key now",
				k.ID, k.ActiveAt.UTC().Format(time.RFC3339))
		case k.RetiredAt.IsZero():
			r.retire = append(r.retire, k.ID)
		default:
			r.hasten = append(r.hasten, k.ID)
		}
	}
	var err error
	r.key, err = o.parts.Ring.NewKey(in.Algorithm, now, starts)
	return r, err
}

// rotate stores the rotation. The new key comes first, so that there is one to sign with at every
// moment.
func (o *Operations) rotate(ctx context.Context, a Actor, r *rotation) error {
	ev := o.keyEvent(a, audit.KeyRotated, r.key.ID, r.key.CreatedAt)
	ev.Detail = map[string]string{
		"kid":     r.key.ID,
		"alg":     r.key.Alg,
		"retires": strings.Join(slices.Concat(r.retire, r.hasten), " "),
	}
	err := o.store.RotateKeys(ctx, r.key, r.retire, r.key.ActiveAt, r.expires, ev)
	if err != nil || len(r.hasten) == 0 {
		return err
	}
	ev = o.keyEvent(a, audit.KeyRetired, r.hasten[0], r.key.CreatedAt)
	ev.Detail = map[string]string{"kid": strings.Join(r.hasten, " ")}
	return o.store.RetireKeys(ctx, r.hasten, r.key.ActiveAt, r.expires, ev)
}

// longestToken returns how long a token that is signed now is valid at most, for any client.
func (o *Operations) longestToken() time.Duration {
	longest := max(o.cfg.AccessTTL, o.cfg.IDTokenTTL)
	for _, c := range o.store.Clients() {
		longest = max(longest, c.AccessTTL, c.IDTokenTTL)
	}
	return longest
}

// KeyUse is a key with what is known of the tokens that it has signed. The server keeps no list of
// them.
type KeyUse struct {
	jose.StoredKey
	TokensUntil time.Time // by when all of them have expired; zero: none is valid now
	// Issued is how many tokens the server has issued, by all keys, in the hours that those which
	// are valid now can be from; so the key has signed no more of these. -1: not known.
	Issued int
}

// RetirableKey returns the key with that id, and what ends with it, if it can be withdrawn: another
// one signs with its algorithm, or nothing uses the algorithm.
func (o *Operations) RetirableKey(ctx context.Context, a Actor, id string) (KeyUse, error) {
	if err := o.authorize(a, ScopeKeysRead); err != nil {
		return KeyUse{}, err
	}
	now := o.parts.Now()
	k, err := o.retirable(ctx, id, now)
	if err != nil {
		return KeyUse{StoredKey: k, Issued: -1}, err
	}
	return o.keyUse(ctx, k, now)
}

// KeyTokensUntil returns by when all tokens of a key have expired, or the zero time if none that it
// has signed is valid now.
func (o *Operations) KeyTokensUntil(ctx context.Context, k jose.StoredKey) (time.Time, error) {
	until, _, err := o.keySpan(ctx, k, o.parts.Now())
	return until, err
}

// keySpan returns by when all tokens of a key have expired, and since when those were signed that
// may be valid now.
func (o *Operations) keySpan(ctx context.Context, k jose.StoredKey, now time.Time) (until, since time.Time, err error) {
	longest, err := o.store.LongestToken(ctx) // the settings may have had a longer one
	if err != nil {
		return until, since, err
	}
	longest = max(longest, o.longestToken())
	last := now
	if !k.RetiredAt.IsZero() && k.RetiredAt.Before(now) {
		last = k.RetiredAt
	}
	until, since = last.Add(longest), now.Add(-longest)
	if k.ActiveAt.After(since) {
		since = k.ActiveAt
	}
	if k.ActiveAt.After(now) || !until.After(now) {
		until = time.Time{}
	}
	return until, since, nil
}

// keyUse returns what is known of the tokens of a key.
func (o *Operations) keyUse(ctx context.Context, k jose.StoredKey, now time.Time) (KeyUse, error) {
	out := KeyUse{StoredKey: k, Issued: -1}
	until, since, err := o.keySpan(ctx, k, now)
	if err != nil || until.IsZero() {
		return out, err
	}
	out.TokensUntil, out.Issued = until, 0
	counts, err := o.store.HourlyCounts(ctx, since.Truncate(time.Hour))
	for _, c := range counts {
		if c.Name == CountTokens && (k.RetiredAt.IsZero() || c.Hour.Before(k.RetiredAt)) {
			out.Issued += c.N
		}
	}
	return out, err
}

// RetireKey withdraws a key at once, with all tokens that it signed.
func (o *Operations) RetireKey(ctx context.Context, a Actor, id string) (jose.StoredKey, error) {
	if err := o.authorize(a, ScopeKeysWrite); err != nil {
		return jose.StoredKey{}, err
	}
	now := o.parts.Now()
	k, err := o.retirable(ctx, id, now)
	if err != nil {
		return k, err
	}
	ev := o.keyEvent(a, audit.KeyRetired, k.ID, now)
	ev.Detail = map[string]string{"kid": k.ID, "alg": k.Alg}
	k.RetiredAt, k.ExpiresAt = now, now
	return k, o.store.RetireKeys(ctx, []string{k.ID}, now, now, ev)
}

// publishKey makes sure that an algorithm has a key before a client's tokens are signed with it. It
// creates the first one, with a warning if others have the key set already. Conflict: a key is
// published ahead of its time, and does not sign yet.
func (o *Operations) publishKey(ctx context.Context, alg string, now time.Time) ([]Warning, error) {
	if alg == "" {
		return nil, nil
	}
	ring := o.parts.Ring
	signs, from := ring.Signs(alg, now)
	switch {
	case signs, o.draft && from.IsZero():
		return nil, nil
	case o.together && from.IsZero(): // a key is made outside of the transaction, before it
		return nil, staleConfig()
	case !from.IsZero():
		return nil, fault.New(fault.Conflict, "the key of %s is published and signs from %s; change the "+
			"client then, or sign with a new key at once: key rotate --alg %s --now",
			alg, from.UTC().Format(time.RFC3339), alg)
	}
	others := len(ring.Algorithms()) > 0
	if err := ring.Ensure(ctx, alg, now); err != nil || !others {
		return nil, err
	}
	return []Warning{{Code: WarnFirstKey, Subject: alg}}, nil
}

// publishKeyFor does what publishKey does for a change of a client that its guard allows now: a
// change that will be denied makes no key.
func (o *Operations) publishKeyFor(ctx context.Context, ev *audit.Event, alg string) ([]Warning, error) {
	if alg != "" && !o.draft {
		if err := o.decide(ctx, ev.Guard); err != nil {
			return nil, err
		}
	}
	return o.publishKey(ctx, alg, ev.At)
}

// algorithmInUse returns what uses an algorithm, or "" if nothing does.
func (o *Operations) algorithmInUse(ctx context.Context, alg string) (string, error) {
	if alg == o.cfg.Algorithm {
		return "JWT_ALGORITHM", nil
	}
	algs, err := o.store.ClientAlgorithms(ctx)
	if err != nil {
		return "", err
	}
	if slices.Contains(algs, alg) {
		return "a client", nil
	}
	if alg != access.AuthInfoAlg {
		return "", nil
	}
	file, err := o.parts.Routes()
	if err != nil {
		return "", err
	}
	if len(file.Routes) > 0 || len(o.store.Routes()) > 0 {
		return "X-Auth-Info of the gateway's routes", nil
	}
	return "", nil
}

func (o *Operations) retirable(
	ctx context.Context, id string, now time.Time,
) (jose.StoredKey, error) {
	keys := o.parts.Ring.Keys()
	i := slices.IndexFunc(keys, func(k jose.StoredKey) bool { return k.ID == id })
	if i < 0 {
		return jose.StoredKey{}, fault.New(fault.NotFound, "there is no key %q", id)
	}
	k := keys[i]
	if k.State(now) != keyActive {
		return k, nil
	}
	for _, other := range keys {
		if other.ID != k.ID && other.Alg == k.Alg && other.State(now) == keyActive {
			return k, nil
		}
	}
	user, err := o.algorithmInUse(ctx, k.Alg)
	if err != nil || user == "" {
		return k, err
	}
	return k, fault.New(fault.Conflict, "key %s is the only one that signs with %s, which %s uses; "+
		"rotate to a new key first", k.ID, k.Alg, user)
}

func (o *Operations) keyEvent(a Actor, t audit.Type, id string, now time.Time) audit.Event {
	ev := a.event(t, now)
	ev.Guard = o.covers(a, ScopeKeysWrite)
	ev.TargetType, ev.TargetID = audit.TargetKey, id
	return ev
}
