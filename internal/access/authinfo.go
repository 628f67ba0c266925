package access

import "github.com/gatehouse-id/gatehouse/internal/jose"

// AuthInfoAlg is the algorithm that X-Auth-Info is signed with.
const AuthInfoAlg = jose.ES256
