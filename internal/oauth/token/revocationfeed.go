package token

import (
	"context"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
)

// FeedEntry is one revocation as the feed sends it.
type FeedEntry struct {
	Seq       int64             `json:"seq"`
	Mark      string            `json:"-"`
	Kind      string            `json:"kind"` // token, grant, session, user or client
	ID        string            `json:"id"`   // jti, gid, sid, sub or client_id of the revoked tokens
	NotBefore int64             `json:"nbf"`  // Unix milliseconds: user and client tokens up to then
	Expires   oauth.NumericDate `json:"exp"`  // when the last token that it concerns has expired
}

// feedBatch bounds how many entries are read at once.
const feedBatch = 500

// AuthenticateFollower authenticates a client that subscribes to the feed: a confidential
// client, by its credentials or by an access token of its own. With the parameter resource the
// follower names the APIs whose tokens it checks; it is rejected if it does not see one of them.
func (s *Server) AuthenticateFollower(
	ctx context.Context, c *oauth.Call,
) (*client.Client, error) {
	if scheme, _, _ := strings.Cut(c.Authorization, " "); presentsToken(scheme) {
		return s.followerByToken(ctx, c)
	}
	cl, err := s.Authenticate(ctx, c)
	if err != nil {
		return nil, err
	}
	if cl.Public {
		return nil, oauth.InvalidClient("Basic",
			"A public client may not follow revocations: it cannot authenticate itself.")
	}
	return cl, oauth.CheckFollowed(s.cfg.Issuer, cl, c.Form["resource"])
}

func (s *Server) followerByToken(ctx context.Context, c *oauth.Call) (*client.Client, error) {
	t, err := s.callerToken(ctx, c)
	if err != nil {
		return nil, err
	}
	if t.User != "" {
		return nil, oauth.InsufficientScope("", "Only clients may follow revocations, not users. "+
			"Use a token from the client credentials grant.")
	}
	cl, err := s.clients.Lookup(ctx, t.Client)
	if err != nil {
		return nil, clientError(err)
	}
	return cl, oauth.CheckFollowed(s.cfg.Issuer, cl, c.Form["resource"])
}

// FeedHead returns the newest revocation, and a channel that is closed when there is a newer one,
// or another history.
func (s *Server) FeedHead() (head oauth.LogHead, moved <-chan struct{}) {
	return s.store.RevocationHead()
}

// feedMaxAge is how old the knowledge of this server may be while it tells followers that they know
// all there is, unless REVOCATION_MAX_AGE sets no bound. It is compared with the database every two
// seconds.
const feedMaxAge = 10 * time.Second

// FeedCurrent returns Unavailable while this server may lack revocations, so that followers do not
// take its silence for news: they ask another server, or act as they do without the feed.
func (s *Server) FeedCurrent() error {
	if s.cfg.RevocationMaxAge > 0 && s.store.KnowledgeAge() > feedMaxAge {
		return stale()
	}
	return nil
}

// FeedKnows reports whether the log has an entry that a follower has seen. Without a mark that
// cannot be known.
func (s *Server) FeedKnows(ctx context.Context, seq int64, mark string) (bool, error) {
	if mark == "" {
		return false, nil
	}
	return s.store.RevocationAt(ctx, seq, mark)
}

// FeedPage is a part of the feed.
type FeedPage struct {
	Entries []FeedEntry // those that the follower may see, oldest first
	Last    int64       // the sequence number up to which the log has been read
	Mark    string      // of that entry
	More    bool        // whether there may be more after Last
}

// Feed returns the part of the feed after a sequence number that a client may see: revocations of
// its own tokens, of those for its APIs, and of all tokens of a user, a client or a session. It
// fails once the client is disabled or deleted.
func (s *Server) Feed(ctx context.Context, id client.ID, since int64) (*FeedPage, error) {
	cl, err := s.clients.Lookup(ctx, id)
	if err != nil {
		return nil, clientError(err)
	}
	revocations, err := s.store.RevocationsSince(ctx, since, feedBatch)
	if err != nil {
		return nil, err
	}
	p := &FeedPage{Last: since, More: len(revocations) == feedBatch}
	for _, r := range revocations {
		p.Last, p.Mark = r.Seq, r.Mark
		if len(r.Audience) > 0 && !oauth.CanSee(s.cfg.Issuer, cl, r.Client, r.Audience) {
			continue
		}
		p.Entries = append(p.Entries, FeedEntry{
			Seq:       r.Seq,
			Mark:      r.Mark,
			Kind:      r.Kind,
			ID:        r.ID,
			NotBefore: r.NotBefore.UnixMilli(),
			Expires:   oauth.NumericDateOf(r.Until) + 1,
		})
	}
	return p, nil
}
