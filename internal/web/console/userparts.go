package console

import (
	"context"
	"net/http"
	"net/url"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
)

func (s *Server) sendResetAction() action[*admin.UserDetail] {
	return action[*admin.UserDetail]{
		server: s,
		name:   "send-password-reset", link: "Send password reset", ops: []string{"SendPasswordReset"},
		title: "Send a password reset", button: "Send the link",
		offers: func(d *admin.UserDetail) bool { return s.cfg.CanMail && d.User.Email != "" && !d.User.Disabled },
		text: func(d *admin.UserDetail) string {
			return "Sends a link to set a new password to " + d.User.Email + ". The old password works " +
				"until the link is used."
		},
		same: func(d *admin.UserDetail, _ url.Values) Same {
			return s.same("POST", "/api/v1/users/"+userID(d)+"/send-password-reset", nil,
				"user", "send-password-reset", userID(d))
		},
		do: func(ctx context.Context, q *request, d *admin.UserDetail) error {
			_, err := s.ops.SendPasswordReset(ctx, q.actor, userID(d))
			return err
		},
		done: doneTo("reset-sent"), back: userLink,
	}
}

func (s *Server) sendVerificationAction() action[*admin.UserDetail] {
	return action[*admin.UserDetail]{
		server: s,
		name:   "send-verification", link: "Verify email", ops: []string{"SendVerification"},
		title: "Verify the email address", button: "Send the link",
		offers: func(d *admin.UserDetail) bool {
			return s.cfg.CanMail && d.User.Email != "" && !d.User.EmailVerified && !d.User.Disabled
		},
		text: func(d *admin.UserDetail) string {
			return "Sends a link to " + d.User.Email + " that proves that the address belongs to the person."
		},
		same: func(d *admin.UserDetail, _ url.Values) Same {
			return s.same("POST", "/api/v1/users/"+userID(d)+"/send-verification", nil,
				"user", "send-verification", userID(d))
		},
		do: func(ctx context.Context, q *request, d *admin.UserDetail) error {
			_, err := s.ops.SendVerification(ctx, q.actor, userID(d))
			return err
		},
		done: doneTo("verify-sent"), back: userLink,
	}
}

// userPart is something that belongs to an account: a factor or a connected app.
type userPart struct {
	detail *admin.UserDetail
	id     string
	name   string
}

// loadPart returns the factor or the connected app that an address names.
func (s *Server) loadPart(r *http.Request, q *request) (*userPart, error) {
	d, err := s.loadUser(r, q)
	if err != nil {
		return nil, err
	}
	p := &userPart{detail: d, id: r.PathValue("factor")}
	for _, c := range d.Factors {
		if string(c.ID) == p.id {
			if p.name = factorNames()[c.Kind]; c.Label != "" {
				p.name = c.Label
			}
			return p, nil
		}
	}
	if p.id = r.PathValue("app"); p.id != "" {
		apps, err := s.ops.UserAuthorizations(r.Context(), q.actor, userID(d))
		if err != nil {
			return nil, err
		}
		for _, x := range apps {
			if string(x.Client) == p.id {
				if p.name = x.ClientName; p.name == "" {
					p.name = p.id
				}
				return p, nil
			}
		}
	}
	return nil, fault.New(fault.NotFound, "%s no longer has this.", d.User.Label())
}

func (s *Server) removeFactorAction() action[*userPart] {
	return action[*userPart]{
		server: s, ops: []string{"RemoveFactor"},
		name: "remove", title: "Remove a factor", button: "Remove", danger: true,
		text: func(p *userPart) string {
			return "Removes " + p.name + " from the account of " + p.detail.User.Label() + "."
		},
		ends: func(p *userPart) []string {
			var out []string
			if len(p.detail.Factors) == 1 {
				out = append(out, "It is the last one: the password alone signs in afterwards, and backup "+
					"codes are gone.")
			}
			return append(out, "The person is told by mail.")
		},
		same: func(p *userPart, _ url.Values) Same {
			return s.same("DELETE", "/api/v1/users/"+userID(p.detail)+"/factors/"+url.PathEscape(p.id), nil,
				"user", "factors", "remove", userID(p.detail), p.id, "--yes")
		},
		do: func(ctx context.Context, q *request, p *userPart) error {
			return s.ops.RemoveFactor(ctx, q.actor, userID(p.detail), identity.CredentialID(p.id))
		},
		done: func(p *userPart) string { return doneTo("factor")(p.detail) },
		back: func(p *userPart) Link { return userLink(p.detail) },
		at: func(p *userPart) string {
			return at("/users", userID(p.detail), "factors", url.PathEscape(p.id), "remove")
		},
	}
}

func (s *Server) revokeAppAction() action[*userPart] {
	return action[*userPart]{
		server: s, ops: []string{"RevokeUserAuthorizations"},
		name: "revoke", title: "Disconnect an app", button: "Disconnect", danger: true,
		text: func(p *userPart) string {
			return "Ends the access of " + p.name + " to the account of " + p.detail.User.Label() +
				". The app asks for permission again when the person uses it next."
		},
		same: func(p *userPart, _ url.Values) Same {
			return s.same("DELETE", with("/api/v1/users/"+userID(p.detail)+"/authorizations", "client_id", p.id), nil,
				"user", "authorizations", "revoke", userID(p.detail), p.id)
		},
		do: func(ctx context.Context, q *request, p *userPart) error {
			_, err := s.ops.RevokeUserAuthorizations(ctx, q.actor, userID(p.detail), p.id)
			return err
		},
		done: func(p *userPart) string { return doneTo("app")(p.detail) },
		back: func(p *userPart) Link { return userLink(p.detail) },
		at: func(p *userPart) string {
			return at("/users", userID(p.detail), "apps", url.PathEscape(p.id), "revoke")
		},
	}
}
