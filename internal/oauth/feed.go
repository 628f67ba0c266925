package oauth

import (
	"context"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/client"
)

// FeedEntry is one revocation as followers read it.
type FeedEntry struct {
	Seq       int64   `json:"seq"`
	Kind      string  `json:"kind"` // token, grant, session, user or client
	ID        string  `json:"id"`   // the jti, gid, sid, sub or client_id of the tokens that are dead
	NotBefore int64   `json:"nbf"`  // Unix milliseconds; of a user or client, only what was issued up to then is dead
	Expires   seconds `json:"exp"`  // when the entry may be forgotten: the last token it concerns has expired
}

// feedPart bounds how many entries are read at once.
const feedPart = 500

// Follower authenticates who wants to follow the revocations: a confidential client, by its secret or by an access token that it
// has been given for itself.
func (s *Server) AuthenticateFollower(ctx context.Context, c *Call) (*client.Client, error) {
	if scheme, _, _ := strings.Cut(c.Authorization, " "); strings.EqualFold(scheme, schemeBearer) || strings.EqualFold(scheme, schemeDPoP) {
		t, err := s.caller(ctx, c)
		if err != nil {
			return nil, err
		}
		if t.User != "" {
			return nil, insufficientScope("", "Revocations are told to clients, not to users. Use a token from the client credentials grant.")
		}
		return s.client(ctx, t.Client)
	}
	cl, err := s.Authenticate(ctx, c)
	if err != nil {
		return nil, err
	}
	if cl.Public {
		return nil, invalidClient("Basic", "A public client may not follow revocations: it cannot prove who it is.")
	}
	return cl, nil
}

// FeedHead is the newest revocation there is to tell, and a channel that is closed when there is a newer one.
func (s *Server) FeedHead() (seq int64, moved <-chan struct{}) { return s.store.RevocationHead() }

// Feed gives the next revocations after a sequence number, oldest first; fewer than a part's worth means that there are no more.
func (s *Server) Feed(ctx context.Context, since int64) (entries []FeedEntry, more bool, err error) {
	revs, err := s.store.RevocationsSince(ctx, since, feedPart)
	if err != nil {
		return nil, false, err
	}
	for _, r := range revs {
		entries = append(entries, FeedEntry{Seq: r.Seq, Kind: r.Kind, ID: r.ID, NotBefore: r.NotBefore.UnixMilli(), Expires: at(r.Until) + 1})
	}
	return entries, len(revs) == feedPart, nil
}
