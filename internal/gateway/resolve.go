package gateway

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/gatehouse-id/gatehouse/bearer"
	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
)

// Caller is a caller as the gateway caches it. Only the identity is cached: expiry, revocation,
// the client's registration and the account are checked again; see Revalidate. It is immutable but
// for the fields of atomic types.
type Caller struct {
	access.Caller
	// checked for revocation: the caller's token, or one made for its session
	token   *oauth.AccessToken
	foreign *bearer.Token // of an external issuer
	// as registered when it was read; nil if it is not one of this server
	client *client.Client
	user   *identity.User // as it was read
	app    *access.Caller // as the token handler returned it

	expires   time.Time    // of the cache entry; zero: never
	checkedAt atomic.Int64 // Unix milliseconds: when account and session were last read
	headers   headerCache
}

// Identity is what one request proved: its caller, and the nonce for the caller's next DPoP proof.
type Identity struct {
	*Caller
	Nonce string
}

// presented is the credentials of one request, with the client that they prove or only claim. The
// client is nil beside a token, with which it is checked.
type presented struct {
	credentials
	registered *client.Client
}

// resolver finds out who makes a request by one kind of credential.
type resolver interface {
	// resolve returns the caller that the request's credential of this kind identifies, or the
	// zero Identity if the request has none. The error is a Denial if the credential is not
	// valid, and any other error if it cannot be judged.
	resolve(ctx context.Context, req *Request, route *Route, p presented) (Identity, error)
}

// resolvers returns one resolver for each kind of credential, in the order in which they are asked.
func resolvers(g *Gateway) []resolver {
	return []resolver{
		sessionTokenResolver{g},
		foreignResolver{g},
		tokenResolver{g},
		appResolver{g}, // before the session of this server, because it says more
		sessionResolver{g},
		clientResolver{g},
	}
}

// resolve returns who makes a request. What the request says must be valid even where the route
// allows requests without a credential; only a cookie that has ended counts as none.
func (g *Gateway) resolve(req *Request, route *Route) (Identity, error) {
	ctx := req.Context()
	creds, err := readCredentials(req.Header, route)
	if err != nil {
		return Identity{}, err
	}
	p := presented{credentials: creds}
	if creds.token == "" && creds.clientID() != "" {
		if p.registered, err = g.authenticateClient(ctx, &creds, req.Target.Now); err != nil {
			return Identity{}, err
		}
	}
	for _, kind := range g.resolvers {
		id, err := kind.resolve(ctx, req, route, p)
		if err != nil {
			return id, err
		}
		if id.Caller != nil {
			return id, g.checkKnowledge(id.Caller)
		}
	}
	return Identity{Caller: g.anonymous}, nil
}

// checkKnowledge returns an error while it is not known whether a caller of this server has ended.
func (g *Gateway) checkKnowledge(c *Caller) error {
	if c.foreign != nil || c == g.anonymous {
		return nil
	}
	return g.Tokens.Current()
}

// cached returns the caller in the cache under a key after checking it again, or nil.
func (g *Gateway) cached(ctx context.Context, key credentialKey, now time.Time) *Caller {
	c, ok := g.callers.GetIfPresent(key)
	if !ok || !c.expires.IsZero() && !now.Before(c.expires) {
		return nil
	}
	current, err := g.Revalidate(ctx, c, now, forRequests())
	if err != nil {
		return nil
	}
	if current != c {
		g.callers.Set(key, current)
	}
	return current
}

// setClient applies a client's registration to a caller that nothing else holds yet.
func (g *Gateway) setClient(c *Caller, cl *client.Client) {
	c.client = cl
	if err := c.Caller.SetClient(cl); err != nil {
		g.Kit.Log.LogAttrs(context.Background(), slog.LevelError,
			"a client has unreadable networks; no address is in them", slog.String("error", err.Error()))
	}
}

// setUser reads the account of a caller that nothing else holds yet. The error is a Denial if the
// account is disabled or deleted.
func (g *Gateway) setUser(ctx context.Context, c *Caller, id identity.UserID, now time.Time) error {
	if id == "" {
		return nil
	}
	u, err := g.Users.User(ctx, id)
	switch {
	case fault.Is(err, fault.NotFound):
		return badToken("The person's account has been deleted.")
	case err != nil:
		return err
	case u.Blocked():
		return badToken("The person's account is disabled.")
	}
	c.user, c.UserName, c.UserRoles = u, u.Label(), u.Roles
	c.checkedAt.Store(now.UnixMilli())
	return nil
}
