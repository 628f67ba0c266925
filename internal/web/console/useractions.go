package console

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
)

// userNotes returns what has been done to an account, by the parameter done of its address.
func userNotes() map[string]string {
	return map[string]string{
		"created":         "The account was created.",
		"updated":         "The changes were saved.",
		"disabled":        "The account is disabled. Its sessions and tokens have ended.",
		"enabled":         "The account can sign in again.",
		"unlocked":        "The account is unlocked.",
		"locked":          "The account is locked. Its sessions and tokens have ended.",
		"deleted":         "The account was deleted.",
		"two-step":        "Two-step verification was reset, and all sessions have ended.",
		"recovery":        "The request for recovery has ended. No link of it works any more.",
		"signed-out":      "All browser sessions of the account have ended.",
		"tokens":          "All tokens of the account were revoked. Browsers stay signed in.",
		"access":          "All sessions and connected apps of the account have ended.",
		"session-revoked": "The session has ended.",
		"reset-sent":      "A link to set a new password was sent.",
		"verify-sent":     "A link that proves the address was sent.",
		"factor":          "The factor was removed.",
		"app":             "The app was disconnected.",
		"password":        "The password was set, and all sessions have ended.",
	}
}

// The buttons that do something to an account at once.
const (
	buttonUnlock = "Unlock"
	buttonEnable = "Enable"
)

// userUndo returns the form that takes back what has just been done, or nil.
func userUndo(u *identity.User, done string) *Button {
	if done == "disabled" && u.Disabled {
		return &Button{Text: "Undo", Action: at("/users", string(u.ID), "enable")}
	}
	if done == "locked" && !u.LockedAt.IsZero() {
		return &Button{Text: "Undo", Action: at("/users", string(u.ID), "unlock")}
	}
	return nil
}

// userActionRoutes returns the routes of what can be done to an account.
func (s *Server) userActionRoutes() []route {
	var all []route
	for _, a := range s.userActions() {
		all = append(all, actionRoutes("/admin/users/{id}", a, s.loadUser)...)
	}
	return append(all,
		route{"POST /admin/users/{id}/enable", []string{"EnableUser"}, s.atOnce("enabled", s.ops.EnableUser)},
		route{"POST /admin/users/{id}/unlock", []string{"UnlockUser"}, s.atOnce("unlocked", s.ops.UnlockUser)},
	)
}

func (s *Server) loadUser(r *http.Request, q *request) (*admin.UserDetail, error) {
	return s.ops.UserDetail(r.Context(), q.actor, r.PathValue("id"))
}

// atOnce does something that needs no question, because it can be undone.
func (s *Server) atOnce(done string,
	do func(context.Context, admin.Actor, string) (*identity.User, error),
) handler {
	return func(w http.ResponseWriter, r *http.Request, q *request) error {
		u, err := do(r.Context(), q.actor, r.PathValue("id"))
		if err != nil {
			return err
		}
		return seeOther(w, r, with(at("/users", string(u.ID)), "done", done))
	}
}

// userActionsOf returns what can be done to an account now: the pages that ask, and what is done at
// once.
func (s *Server) userActionsOf(d *admin.UserDetail) (links []Link, buttons []Button) {
	u := d.User
	if !d.LockedUntil.IsZero() || d.Failures > 0 || !u.LockedAt.IsZero() {
		buttons = append(buttons, Button{Text: buttonUnlock, Action: at("/users", string(u.ID), "unlock")})
	}
	if u.Disabled {
		buttons = append(buttons, Button{Text: buttonEnable, Action: at("/users", string(u.ID), "enable")})
	}
	links = append(links, Link{"Set password", at("/users", string(u.ID), "password")})
	for _, x := range s.userActions() {
		if x.offers == nil || x.offers(d) {
			links = append(links, Link{x.link, at("/users", string(u.ID), x.name)})
		}
	}
	return links, buttons
}

func userID(d *admin.UserDetail) string { return string(d.User.ID) }
func userLink(d *admin.UserDetail) Link { return Link{d.User.Label(), at("/users", userID(d))} }
func doneTo(done string) func(*admin.UserDetail) string {
	return func(d *admin.UserDetail) string { return with(at("/users", userID(d)), "done", done) }
}

// userEnds returns what an account loses with its sessions and, with grants, its connected apps.
func userEnds(d *admin.UserDetail, grants bool) []string {
	var out []string
	if d.Sessions > 0 {
		out = append(out, count(d.Sessions, "browser session")+" will end.")
	}
	if grants && d.Grants > 0 {
		out = append(out, appsOrDevices(d.Grants)+" will lose access.")
	}
	return out
}

// appsOrDevices returns a number of them in words.
func appsOrDevices(n int) string {
	if n == 1 {
		return "1 app or device"
	}
	return grouped(n) + " apps or devices"
}

// userActions returns what can be done to an account after a page has asked.
func (s *Server) userActions() []action[*admin.UserDetail] {
	return []action[*admin.UserDetail]{
		s.sendResetAction(),
		s.sendVerificationAction(),
		s.signOutAction(),
		s.revokeTokensAction(),
		s.revokeAccessAction(),
		s.resetTwoStepAction(),
		s.stopRecoveryAction(),
		s.impersonateAction(),
		s.lockAction(),
		s.disableAction(),
		s.deleteAction(),
	}
}

func (s *Server) signOutAction() action[*admin.UserDetail] {
	return action[*admin.UserDetail]{
		server: s,
		name:   "sign-out", link: "Sign out", ops: []string{"RevokeUserSessions"},
		title: "Sign out everywhere", button: "End all sessions",
		offers: func(d *admin.UserDetail) bool { return d.Sessions > 0 },
		text:   func(d *admin.UserDetail) string { return "Ends all browser sessions of " + d.User.Label() + "." },
		ends:   func(d *admin.UserDetail) []string { return userEnds(d, false) },
		same: func(d *admin.UserDetail, _ url.Values) Same {
			return s.same("DELETE", "/api/v1/users/"+userID(d)+"/sessions", nil,
				"session", "revoke", "--user="+userID(d))
		},
		do: func(ctx context.Context, q *request, d *admin.UserDetail) error {
			_, err := s.ops.RevokeUserSessions(ctx, q.actor, userID(d))
			return err
		},
		done: doneTo("signed-out"), back: userLink,
	}
}

func (s *Server) revokeTokensAction() action[*admin.UserDetail] {
	return action[*admin.UserDetail]{
		server: s,
		name:   "revoke-tokens", link: "Revoke tokens", ops: []string{"RevokeUserTokens"},
		title: "Revoke all tokens", button: "Revoke all tokens", danger: true,
		offers: func(d *admin.UserDetail) bool { return d.Grants > 0 },
		text: func(d *admin.UserDetail) string {
			return "Revokes all tokens that apps and devices have in the name of " + d.User.Label() +
				". Browsers stay signed in, and what the person has allowed stays."
		},
		ends: func(d *admin.UserDetail) []string {
			return []string{appsOrDevices(d.Grants) + " must get new tokens."}
		},
		same: func(d *admin.UserDetail, _ url.Values) Same {
			return s.same("POST", "/api/v1/users/"+userID(d)+"/revoke_tokens", nil, "user", "revoke-tokens", userID(d))
		},
		do: func(ctx context.Context, q *request, d *admin.UserDetail) error {
			_, err := s.ops.RevokeUserTokens(ctx, q.actor, userID(d))
			return err
		},
		done: doneTo("tokens"), back: userLink,
	}
}

func (s *Server) revokeAccessAction() action[*admin.UserDetail] {
	return action[*admin.UserDetail]{
		server: s,
		name:   "revoke-access", link: "Revoke access", ops: []string{"RevokeUserAccess"},
		title: "Revoke all access", button: "End all sessions and apps", danger: true,
		offers: func(d *admin.UserDetail) bool { return d.Grants > 0 },
		text: func(d *admin.UserDetail) string {
			return "Ends all that is open in the name of " + d.User.Label() + ". The account itself stays as it is."
		},
		ends: func(d *admin.UserDetail) []string { return userEnds(d, true) },
		same: func(d *admin.UserDetail, _ url.Values) Same {
			return s.same("DELETE", "/api/v1/users/"+userID(d)+"/sessions?grants=true", nil,
				"session", "revoke", "--all-of-user="+userID(d))
		},
		do: func(ctx context.Context, q *request, d *admin.UserDetail) error {
			_, err := s.ops.RevokeUserAccess(ctx, q.actor, userID(d))
			return err
		},
		done: doneTo("access"), back: userLink,
	}
}

func (s *Server) resetTwoStepAction() action[*admin.UserDetail] {
	return action[*admin.UserDetail]{
		server: s,
		name:   "reset-two-step", link: "Reset two-step", ops: []string{"ResetTwoStep"},
		title: "Reset two-step verification", button: "Remove all second factors", danger: true,
		offers: func(d *admin.UserDetail) bool { return len(d.Factors) > 0 },
		text: func(d *admin.UserDetail) string {
			return "Removes all second factors and backup codes of " + d.User.Label() +
				", so that the password alone signs in. Be sure that it is the person who asks."
		},
		ends: func(d *admin.UserDetail) []string {
			return append([]string{count(len(d.Factors), "factor") + " will be removed. The person is told by mail."},
				userEnds(d, false)...)
		},
		same: func(d *admin.UserDetail, _ url.Values) Same {
			return s.same("DELETE", "/api/v1/users/"+userID(d)+"/factors", nil, "user", "reset-two-step", userID(d))
		},
		do: func(ctx context.Context, q *request, d *admin.UserDetail) error {
			_, err := s.ops.ResetTwoStep(ctx, q.actor, userID(d))
			return err
		},
		done: doneTo("two-step"), back: userLink,
	}
}

func (s *Server) stopRecoveryAction() action[*admin.UserDetail] {
	return action[*admin.UserDetail]{
		server: s,
		name:   "stop-recovery", link: "Stop recovery", ops: []string{"StopRecovery"},
		title: "Stop the recovery", button: "End the request",
		offers: func(d *admin.UserDetail) bool { return !d.RecoveryReadyAt.IsZero() },
		text: func(d *admin.UserDetail) string {
			return "Ends the request of " + d.User.Label() + " about a lost second step or lost passkeys."
		},
		ends: func(*admin.UserDetail) []string {
			return []string{"No link of the request works any more. The person can ask again.", "Nothing else changes."}
		},
		same: func(d *admin.UserDetail, _ url.Values) Same {
			return s.same("DELETE", "/api/v1/users/"+userID(d)+"/recovery", nil, "user", "stop-recovery", userID(d))
		},
		do: func(ctx context.Context, q *request, d *admin.UserDetail) error {
			_, err := s.ops.StopRecovery(ctx, q.actor, userID(d))
			return err
		},
		done: doneTo("recovery"), back: userLink,
	}
}

func (s *Server) impersonateAction() action[*admin.UserDetail] {
	return action[*admin.UserDetail]{
		server: s,
		name:   "impersonate", link: "Act as this person", ops: []string{"ImpersonateUser"},
		title: "Act as this person", button: "Continue",
		offers: func(d *admin.UserDetail) bool { return !d.User.Blocked() && !s.ops.Administers(d.User) },
		text: func(d *admin.UserDetail) string {
			return "You see what " + d.User.Label() + " sees, here and in apps, until you stop. Your own session comes back then."
		},
		ends: func(*admin.UserDetail) []string {
			return []string{
				"The person sees that you did so, and your reason, in the history of their account.",
				"Tokens and the audit log name both the person and you.",
				"You cannot change passwords, addresses, second factors or devices, or delete the account.",
			}
		},
		inputs: func(b Base) ([]Input, error) {
			in, err := newInput(b, "reason", "Reason", "required", "autocomplete=off",
				"hint=The person sees it, and so does whoever reads the audit log.")
			return []Input{in}, err
		},
		same: func(d *admin.UserDetail, form url.Values) Same {
			reason := form.Get("reason")
			if reason == "" {
				reason = "REASON"
			}
			return s.same("POST", "/api/v1/users/"+userID(d)+"/impersonate", map[string]any{"reason": reason},
				"user", "impersonate", userID(d), "--reason="+reason)
		},
		opens: func(ctx context.Context, q *request, d *admin.UserDetail) (string, error) {
			made, err := s.ops.ImpersonateUser(ctx, q.actor, userID(d), q.form.Get("reason"))
			if err != nil {
				return "", err
			}
			return made.URL, nil
		},
		back: userLink,
	}
}

func (s *Server) lockAction() action[*admin.UserDetail] {
	return action[*admin.UserDetail]{
		server: s,
		name:   "lock", link: "Lock", ops: []string{"LockUser"},
		title: "Lock account", button: "Lock account", danger: true,
		offers: func(d *admin.UserDetail) bool { return d.User.LockedAt.IsZero() && !d.User.Disabled },
		text: func(d *admin.UserDetail) string {
			return d.User.Label() + " will not be able to sign in until you unlock the account."
		},
		ends: func(d *admin.UserDetail) []string { return userEnds(d, true) },
		inputs: func(b Base) ([]Input, error) {
			in, err := newInput(b, "reason", "Reason", "required", "autocomplete=off",
				"hint=For administrators and the audit log. The person does not see it.")
			return []Input{in}, err
		},
		same: func(d *admin.UserDetail, form url.Values) Same {
			reason := form.Get("reason")
			if reason == "" {
				reason = "REASON"
			}
			return s.same("POST", "/api/v1/users/"+userID(d)+"/lock", map[string]any{"reason": reason},
				"user", "lock", userID(d), "--reason="+reason)
		},
		do: func(ctx context.Context, q *request, d *admin.UserDetail) error {
			_, err := s.ops.LockUser(ctx, q.actor, userID(d), q.form.Get("reason"))
			return err
		},
		done: doneTo("locked"), back: userLink,
	}
}

func (s *Server) disableAction() action[*admin.UserDetail] {
	return action[*admin.UserDetail]{
		server: s,
		name:   "disable", link: "Disable", ops: []string{"DisableUser"},
		title: "Disable account", button: "Disable account", danger: true,
		offers: func(d *admin.UserDetail) bool { return !d.User.Disabled },
		text: func(d *admin.UserDetail) string {
			return d.User.Label() + " will not be able to sign in until you enable the account again. " +
				"Nothing is deleted."
		},
		ends: func(d *admin.UserDetail) []string { return userEnds(d, true) },
		same: func(d *admin.UserDetail, _ url.Values) Same {
			return s.same("PATCH", "/api/v1/users/"+userID(d), map[string]any{"active": false},
				"user", "disable", userID(d))
		},
		do: func(ctx context.Context, q *request, d *admin.UserDetail) error {
			_, err := s.ops.DisableUser(ctx, q.actor, userID(d))
			return err
		},
		done: doneTo("disabled"), back: userLink,
	}
}

func (s *Server) deleteAction() action[*admin.UserDetail] {
	return action[*admin.UserDetail]{
		server: s,
		name:   "delete", link: "Delete", ops: []string{"DeleteUser"},
		title: "Delete account", button: "Delete account", danger: true,
		text: func(d *admin.UserDetail) string {
			return "Deletes " + d.User.Label() + " with all that belongs to the account. This cannot be undone."
		},
		ends: func(d *admin.UserDetail) []string {
			return append(userEnds(d, true), "The audit log stays; it names the account by its id.")
		},
		inputs: func(b Base) ([]Input, error) {
			in, err := newInput(b, "confirm", "Type the email address or username of the account", "plain", "required",
				"autocomplete=off")
			return []Input{in}, err
		},
		same: func(d *admin.UserDetail, _ url.Values) Same {
			return s.same("DELETE", "/api/v1/users/"+userID(d), nil, "user", "delete", userID(d), "--yes")
		},
		do: func(ctx context.Context, q *request, d *admin.UserDetail) error {
			typed := strings.TrimSpace(q.form.Get("confirm"))
			u := d.User
			if typed == "" || typed != u.Email && typed != u.Username && typed != userID(d) {
				return fault.InvalidField("confirm", "Type %s to delete this account.", u.LoginName())
			}
			_, err := s.ops.DeleteUser(ctx, q.actor, userID(d), 0)
			return err
		},
		done: func(*admin.UserDetail) string { return with(Root+"/users", "done", "deleted") },
		back: userLink,
	}
}
