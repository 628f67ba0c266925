package oauth

import (
	"net/url"
	"slices"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/client"
)

// maxResources bounds the resource parameters of a request.
const maxResources = 16

// RequestedResources returns the resource parameters of a request without repeats (RFC 8707 §2).
// It rejects one that is not an absolute URI without a fragment, and one that is neither the
// issuer nor registered for the client.
func RequestedResources(issuer string, cl *client.Client, form url.Values) ([]string, error) {
	named := form["resource"]
	if len(named) > maxResources {
		return nil, InvalidTarget("The request names more than %d resources.", maxResources)
	}
	var out []string
	for _, r := range named {
		u, err := url.Parse(r)
		if err != nil || !u.IsAbs() || strings.Contains(r, "#") || len(r) > client.MaxURI {
			return nil, InvalidTarget("A resource must be an absolute URI without a fragment.")
		}
		if r != issuer && !slices.Contains(cl.Resources, r) {
			return nil, InvalidTarget("The client may not ask for this resource.")
		}
		if !slices.Contains(out, r) {
			out = append(out, r)
		}
	}
	return out, nil
}

// CanSee reports whether a client learns of a token, by its client and audience: of its own tokens,
// and of those meant for the issuer, for the client itself or for one of its resources
// (RFC 7662 §4). A client that is registered for it sees all.
func CanSee(issuer string, cl *client.Client, owner client.ID, audience []string) bool {
	if cl.IntrospectAny || owner == cl.ID {
		return true
	}
	for _, aud := range audience {
		if isAPI(issuer, cl, aud) {
			return true
		}
	}
	return false
}

// isAPI reports whether a name of an API stands for the issuer, a client itself or one of the
// client's resources.
func isAPI(issuer string, cl *client.Client, name string) bool {
	return name == issuer || name == string(cl.ID) || slices.Contains(cl.Resources, name)
}

// CheckFollowed returns invalid_target for an API whose tokens the client does not see: it would
// wait in vain for revocations of them.
func CheckFollowed(issuer string, cl *client.Client, apis []string) error {
	for _, name := range apis {
		if !cl.IntrospectAny && !isAPI(issuer, cl, name) {
			return InvalidTarget("The client does not see tokens for %s. Register it with that resource, "+
				"or with introspect_any.", clipText(name, 200))
		}
	}
	return nil
}

// NarrowResources returns the requested audiences if all of them were granted, or all granted
// ones if none is requested (RFC 8707 §2.2). A grant without resources is for the issuer.
func NarrowResources(issuer string, granted []string, form url.Values) ([]string, error) {
	if len(granted) == 0 {
		granted = []string{issuer}
	}
	named := form["resource"]
	if len(named) == 0 {
		return granted, nil
	}
	for _, r := range named {
		if !slices.Contains(granted, r) {
			return nil, InvalidTarget("The request names a resource that was not granted.")
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(named))), nil
}
