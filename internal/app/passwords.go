package app

import (
	"context"
	"io"
	"os"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/breached"
	"github.com/gatehouse-id/gatehouse/internal/cli"
	"github.com/gatehouse-id/gatehouse/internal/config"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
)

// The shortest passwords of NIST SP 800-63B-4 §3.1.1.2: alone, and as one of two factors.
const (
	nistAlone  = 15
	nistSecond = 8
)

// passwordPolicy returns what the settings say about new passwords. It reads COMMON_PASSWORD_LIST.
func passwordPolicy(c *config.Config) (policy, admin identity.Policy, err error) {
	list, err := commonPasswords(c.Passwords.CommonFile)
	if err != nil {
		return policy, admin, err
	}
	p := c.Passwords
	policy = identity.Policy{MinLength: p.MinLength, Common: p.CheckCommon, List: list}
	if p.Nist() {
		least := nistAlone
		if c.MFA.Require {
			least = nistSecond
		}
		policy.MinLength, policy.ListsOnly = max(p.MinLength, least), true
	} else {
		policy.Upper, policy.Lower, policy.Number, policy.Special = p.Uppercase, p.Lowercase, p.Numbers, p.Special
	}
	admin = policy
	admin.MinLength = max(policy.MinLength, p.AdminMinLength)
	return policy, admin, nil
}

// maxPasswordList bounds COMMON_PASSWORD_LIST, which is held in memory.
const maxPasswordList = 64 << 20

// commonPasswords returns the list in a file, or nil if name is "".
func commonPasswords(name string) (*identity.PasswordList, error) {
	if name == "" {
		return nil, nil
	}
	text, err := readPasswords(name)
	if err != nil {
		return nil, err
	}
	return identity.NewPasswordList(text), nil
}

func readPasswords(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", fault.Wrap(fault.Invalid, err, "COMMON_PASSWORD_LIST cannot be read")
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxPasswordList+1))
	if err != nil {
		return "", fault.Wrap(fault.Invalid, err, "COMMON_PASSWORD_LIST cannot be read")
	}
	if len(raw) > maxPasswordList {
		return "", fault.New(fault.Invalid, "COMMON_PASSWORD_LIST is larger than %d MiB", maxPasswordList>>20)
	}
	return string(raw), nil
}

// pollPasswords is how often COMMON_PASSWORD_LIST is checked for changes.
const pollPasswords = 2 * time.Second

// watchPasswords reads COMMON_PASSWORD_LIST again whenever it has changed, until ctx ends. While
// the file cannot be read, the former list counts.
func (s *server) watchPasswords(ctx context.Context) {
	name, list := s.parts.cfg.Passwords.CommonFile, s.parts.policies.Policy.List
	if name == "" {
		return
	}
	tick := time.NewTicker(pollPasswords)
	defer tick.Stop()
	for state := s.parts.commonState; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := fileState(name)
		if now == state {
			continue
		}
		state = now
		text, err := readPasswords(name)
		if err != nil {
			s.log.Error("COMMON_PASSWORD_LIST cannot be read; the list stays as it was", "error", err)
			continue
		}
		list.Replace(text)
		s.log.Info("COMMON_PASSWORD_LIST has changed and was read again")
	}
}

// reportingList is a list of breached passwords that reports when it cannot be read.
type reportingList struct {
	*breached.List
	report func(error)
}

// Contains reports whether the list has a password.
func (l reportingList) Contains(ctx context.Context, password string) (bool, error) {
	found, err := l.List.Contains(ctx, password)
	if err != nil {
		l.report(fault.Wrap(fault.Unavailable, err, "BREACHED_PASSWORDS cannot be read"))
	}
	return found, err
}

// openBreached opens BREACHED_PASSWORDS. Without it, the list is nil.
func (p *parts) openBreached() error {
	name := p.cfg.Passwords.Breached
	if name == "" {
		return nil
	}
	list, err := breached.Open(name)
	if err != nil {
		return fault.Wrap(fault.Invalid, err, "BREACHED_PASSWORDS cannot be used")
	}
	p.breached = list
	p.policies.Breached = reportingList{list, p.report}
	return nil
}

// breachedLists returns what the command line does with lists of breached passwords.
func breachedLists() cli.BreachedLists {
	return cli.BreachedLists{
		Build: func(ctx context.Context, input, output string) (cli.BreachedFilter, error) {
			made, err := breached.Build(ctx, input, output)
			if err != nil {
				return cli.BreachedFilter{}, err
			}
			return cli.BreachedFilter(*made), nil
		},
		Contains: func(ctx context.Context, list, password string) (bool, error) {
			l, err := breached.Open(list)
			if err != nil {
				return false, err
			}
			defer l.Close()
			return l.Contains(ctx, password)
		},
	}
}

// roleGraces returns the days of grace of the roles that need two-step verification.
func roleGraces(c *config.Config) map[string]time.Duration {
	graces := map[string]time.Duration{}
	for _, r := range c.MFA.Roles {
		graces[r.Role] = r.Grace
		if r.Grace < 0 {
			graces[r.Role] = c.MFA.Grace
		}
	}
	return graces
}
