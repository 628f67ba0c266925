package oauth

import (
	"encoding/base64"
	"encoding/binary"
	"time"

	"github.com/gatehouse-id/gatehouse/bearer/dpop"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// A nonce says that a proof was made just now, by the server's clock instead of the client's (RFC 9449 §8, §9). It is a keyed hash of
// the present span of time, so that nothing needs to be stored and every server of one SECRET_KEY knows it.
const (
	nonceSpan = 2 * time.Minute
	nonceSize = 16 // bytes
)

// Nonce is what the DPoP-Nonce header says now; "" where the operator asks for none.
func (s *Server) Nonce(now time.Time) string {
	if !s.cfg.DPoPNonce {
		return ""
	}
	return s.nonceOf(now.UnixMilli() / nonceSpan.Milliseconds())
}

func (s *Server) nonceOf(span int64) string {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(span))
	return base64.RawURLEncoding.EncodeToString(s.mac(s.nonce, b[:])[:nonceSize])
}

// checkNonce refuses a proof without a nonce of the present span or one of its neighbours: the last, as an answer is
// on its way for a while, and the next, which a server whose clock is a little ahead has given out.
func (s *Server) checkNonce(p *dpop.Proof, now time.Time) *Error {
	if !s.cfg.DPoPNonce {
		return nil
	}
	span := now.UnixMilli() / nonceSpan.Milliseconds()
	for _, at := range []int64{span, span - 1, span + 1} {
		if secret.Equal(p.Nonce, s.nonceOf(at)) {
			return nil
		}
	}
	return failure("use_dpop_nonce", 400, "Put the value of the DPoP-Nonce header into the proof as nonce, and try again.")
}
