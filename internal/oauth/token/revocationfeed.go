package token

import (
	"context"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
)

// FeedEntry is one revocation as the feed sends it.
type FeedEntry struct {
	Seq       int64             `json:"seq"`
	Kind      string            `json:"kind"` // token, grant, session, user or client
	ID        string            `json:"id"`   // jti, gid, sid, sub or client_id of the revoked tokens
	NotBefore int64             `json:"nbf"`  // Unix milliseconds: user and client tokens up to then
	Expires   oauth.NumericDate `json:"exp"`  // when the last token that it concerns has expired
}

// feedBatch bounds how many entries are read at once.
const feedBatch = 500

// AuthenticateFollower authenticates a client that subscribes to the feed: a confidential
// client, by its credentials or by an access token of its own.
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
	return cl, nil
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
	return cl, nil
}

// FeedHead returns the sequence number of the newest revocation, and a channel that is closed
// when there is a newer one.
func (s *Server) FeedHead() (seq int64, moved <-chan struct{}) { return s.store.RevocationHead() }

// Feed returns the next revocations after a sequence number, oldest first, and whether there may
// be more of them.
func (s *Server) Feed(
	ctx context.Context, since int64,
) (entries []FeedEntry, more bool, err error) {
	revocations, err := s.store.RevocationsSince(ctx, since, feedBatch)
	if err != nil {
		return nil, false, err
	}
	for _, r := range revocations {
		entries = append(entries, FeedEntry{
			Seq:       r.Seq,
			Kind:      r.Kind,
			ID:        r.ID,
			NotBefore: r.NotBefore.UnixMilli(),
			Expires:   oauth.NumericDateOf(r.Until) + 1,
		})
	}
	return entries, len(revocations) == feedBatch, nil
}
