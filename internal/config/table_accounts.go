package config

import (
	"strings"
	"time"

	"golang.org/x/net/idna"
)

// The rows about people: their sessions, passwords, second steps, accounts and mail.

func sessionRows() []Setting {
	return []Setting{
		{
			Name:    "SESSION_DURATION_DAYS",
			Default: "7",
			Doc:     "After how many days a browser must sign in again.",
			place: func(c *Config) value {
				return duration{
					p:     &c.Sessions.TTL,
					unit:  day,
					min:   day,
					max:   10 * year,
					plain: true,
				}
			},
		},
		{
			Name:    "IDLE_TIMEOUT_MINUTES",
			Default: "30",
			Doc: "After how many minutes without use a browser session ends, unless its " +
				"owner stays signed in; 0 means no limit.",
			place: func(c *Config) value {
				return duration{
					p:     &c.Sessions.Idle,
					unit:  time.Minute,
					max:   year,
					plain: true,
				}
			},
		},
		{
			Name:    "SINGLE_SESSION",
			Default: "false",
			Doc:     "End a user's other browser sessions when they sign in.",
			place:   func(c *Config) value { return boolean{&c.Sessions.Single} },
		},
		{
			Name:    "NOTIFY_NEW_SESSION",
			Default: "false",
			Doc: "Email people when they have signed in from a browser that their account does " +
				"not know, with a link that signs all devices out. Needs mail.",
			place: func(c *Config) value { return boolean{&c.Sessions.NotifyNew} },
		},
		{
			Name:    "REVOKE_TOKENS_ON_SESSION_END",
			Default: "true",
			Doc: "Revoke the tokens issued in a session when the user ends it. Grants with " +
				"offline access stay.",
			place: func(c *Config) value { return boolean{&c.Sessions.RevokeTokens} },
		},
	}
}

// browserRows returns the settings of what browsers keep between sign-ins.
func browserRows() []Setting {
	return []Setting{
		{
			Name:    "BROWSER_ACCOUNTS",
			Default: "5",
			Doc: "How many accounts one browser may be signed in to at once, from which people " +
				"choose; 1 ends the session of another account at each sign-in.",
			place: func(c *Config) value { return number[int]{&c.Sessions.Accounts, 1, 5} },
		},
		{
			Name:    "REMEMBER_ACCOUNTS",
			Default: "true",
			Doc: "Offer an account in a browser after its user has signed out there, if the user " +
				"had chosen to stay signed in.",
			place: func(c *Config) value { return boolean{&c.Sessions.Remember} },
		},
		{
			Name:    "STAY_SIGNED_IN",
			Default: "unchecked",
			Doc: "Whether the sign-in page offers to stay signed in, and whether its check " +
				"box is checked at first. Such a session outlives the browser and times without " +
				"use, for SESSION_DURATION_DAYS; others end with the browser.",
			place: func(c *Config) value {
				return choice[string]{&c.Sessions.Stay, []string{"off", "unchecked", "checked"}}
			},
		},
	}
}

func passwordRows() []Setting {
	return []Setting{
		{
			Name:    "PASSWORD_MIN_LENGTH",
			Default: "12",
			Doc:     "The minimum length of a password, in characters.",
			place:   func(c *Config) value { return number[int]{&c.Passwords.MinLength, 8, 64} },
		},
		{
			Name:    "ADMIN_PASSWORD_MIN_LENGTH",
			Default: "16",
			Doc: "The minimum length of an administrator's password; at least " +
				"PASSWORD_MIN_LENGTH.",
			place: func(c *Config) value { return number[int]{&c.Passwords.AdminMinLength, 8, 64} },
		},
		{
			Name:    "PASSWORD_HISTORY_COUNT",
			Default: "5",
			Doc:     "How many previous passwords cannot be used again.",
			place:   func(c *Config) value { return number[int]{&c.Passwords.History, 0, 24} },
		},
		{
			Name:    "PASSWORD_EXPIRY_DAYS",
			Default: "0",
			Doc:     "After how many days a password must be changed; 0 means never.",
			place: func(c *Config) value {
				return duration{
					p:     &c.Passwords.Expiry,
					unit:  day,
					max:   10 * year,
					plain: true,
				}
			},
		},
	}
}

func expiryRows() []Setting {
	days := func(of func(*Config) *time.Duration, most time.Duration) func(*Config) value {
		return func(c *Config) value { return duration{p: of(c), unit: day, max: most, plain: true} }
	}
	return []Setting{
		{
			Name:    "ADMIN_PASSWORD_EXPIRY_DAYS",
			Default: "0",
			Doc: "After how many days administrators must change their passwords, where that is " +
				"sooner than PASSWORD_EXPIRY_DAYS; 0 sets no other time.",
			place: days(func(c *Config) *time.Duration { return &c.Passwords.AdminExpiry }, 10*year),
		},
		{
			Name:    "PASSWORD_EXPIRY_WARNING_DAYS",
			Default: "14",
			Doc: "For how many days before a password expires its owner is warned, on the account " +
				"pages and once by mail.",
			place: days(func(c *Config) *time.Duration { return &c.Passwords.ExpiryWarning }, year),
		},
		{
			Name:    "PASSWORD_EXPIRY_GRACE_DAYS",
			Default: "7",
			Doc: "For how many days after a password has expired its owner can still sign in " +
				"without changing it.",
			place: days(func(c *Config) *time.Duration { return &c.Passwords.ExpiryGrace }, year),
		},
	}
}

func characterRows() []Setting {
	return []Setting{
		{
			Name:    "PASSWORD_POLICY",
			Default: PolicyComposition,
			Doc: "What new passwords are judged by: composition requires kinds of characters and " +
				"estimates the strength; nist (NIST SP 800-63B-4) requires length, at least 15 " +
				"characters where the password alone is enough to sign in, and rejects what is in " +
				"lists. With nist the settings REQUIRE_UPPERCASE to REQUIRE_SPECIAL do not count.",
			place: func(c *Config) value {
				return choice[string]{&c.Passwords.Policy, []string{PolicyComposition, PolicyNIST}}
			},
		},
		{
			Name:    "REQUIRE_UPPERCASE",
			Default: "true",
			Doc:     "Require an upper-case letter in passwords.",
			place:   func(c *Config) value { return boolean{&c.Passwords.Uppercase} },
		},
		{
			Name:    "REQUIRE_LOWERCASE",
			Default: "true",
			Doc:     "Require a lower-case letter in passwords.",
			place:   func(c *Config) value { return boolean{&c.Passwords.Lowercase} },
		},
		{
			Name:    "REQUIRE_NUMBERS",
			Default: "true",
			Doc:     "Require a digit in passwords.",
			place:   func(c *Config) value { return boolean{&c.Passwords.Numbers} },
		},
		{
			Name:    "REQUIRE_SPECIAL",
			Default: "false",
			Doc:     "Require a character that is neither a letter nor a digit in passwords.",
			place:   func(c *Config) value { return boolean{&c.Passwords.Special} },
		},
	}
}

func passwordListRows() []Setting {
	return []Setting{
		{
			Name:    "CHECK_COMMON_PASSWORDS",
			Default: "true",
			Doc: "Reject passwords that are easy to guess: common ones, simple patterns, and " +
				"those built on the user's names or the name of the site.",
			place: func(c *Config) value { return boolean{&c.Passwords.CheckCommon} },
		},
		{
			Name: "COMMON_PASSWORD_LIST",
			path: true,
			Doc: "A text file with passwords that CHECK_COMMON_PASSWORDS rejects in addition, " +
				"one per line. A changed file takes effect within a few seconds. Case is " +
				"ignored, and digits and special characters around a word are too.",
			place: func(c *Config) value { return text{&c.Passwords.CommonFile, "a path"} },
		},
		{
			Name: "BREACHED_PASSWORDS",
			path: true,
			Doc: "A file with passwords that were published after breaches: lines of SHA-1 hash, " +
				"colon and count in the order of the hashes, or the filter that gatehouse " +
				"passwords build makes of them. None of them can be chosen, and a person who " +
				"signs in with one has to change it. The file is opened at startup.",
			place: func(c *Config) value { return text{&c.Passwords.Breached, "a path"} },
		},
		{
			Name:    "LOGIN_HASH_QUEUE",
			Default: "64",
			Doc: "How many sign-ins may wait for their password check; the next one gets " +
				"503. A running check needs 19 MiB, and as many run at once as there are " +
				"processors.",
			place: func(c *Config) value { return number[int]{&c.Passwords.HashQueue, 1, 100_000} },
		},
	}
}

func lockoutRows() []Setting {
	return []Setting{
		{
			Name:    "LOCKOUT_THRESHOLD",
			Default: "5",
			Doc: "How many wrong passwords lock an account; 0 means never. A browser in which " +
				"the person has signed in before is counted by itself.",
			place: func(c *Config) value { return number[int]{&c.Lockout.Threshold, 0, 1000} },
		},
		{
			Name:    "LOCKOUT_DURATION",
			Default: "30",
			Doc:     "How long a lock lasts. A plain number means minutes.",
			place: func(c *Config) value {
				return duration{
					p:    &c.Lockout.Duration,
					unit: time.Minute,
					min:  time.Second,
					max:  year,
				}
			},
		},
		{
			Name:    "ENABLE_AUTO_UNLOCK",
			Default: "true",
			Doc: "Unlock an account after LOCKOUT_DURATION. Otherwise an administrator must " +
				"unlock it.",
			place: func(c *Config) value { return boolean{&c.Lockout.AutoUnlock} },
		},
		{
			Name:    "PROGRESSIVE_LOCKOUT",
			Default: "false",
			Doc: "Make the first lock of an account half as long as LOCKOUT_DURATION, and each " +
				"further one twice as long as the one before, up to four times " +
				"LOCKOUT_DURATION: 15, 30, 60 and 120 minutes with its default.",
			place: func(c *Config) value { return boolean{&c.Lockout.Progressive} },
		},
		{
			Name:    "LOCKOUT_BY_IP",
			Default: "false",
			Doc:     "Also lock an address out after wrong passwords for any accounts.",
			place:   func(c *Config) value { return boolean{&c.Lockout.ByIP} },
		},
		{
			Name:    "IP_LOCKOUT_THRESHOLD",
			Default: "10",
			Doc:     "How many wrong passwords lock an address out.",
			place: func(c *Config) value {
				return number[int]{&c.Lockout.IPThreshold, 1, 1_000_000}
			},
		},
		{
			Name:  "LOCKOUT_WHITELIST",
			Doc:   "Addresses that are never locked out.",
			place: func(c *Config) value { return prefixes{&c.Lockout.Whitelist} },
		},
	}
}

func mfaRows() []Setting {
	return []Setting{
		{
			Name:    "REQUIRE_MFA",
			Default: "false",
			Doc:     "Require two-step verification of every user.",
			place:   func(c *Config) value { return boolean{&c.MFA.Require} },
		},
		{
			Name: "REQUIRE_ADMIN_MFA",
			Doc: "Require two-step verification of administrators. The default is false in " +
				"development and true in production.",
			place: func(c *Config) value { return boolean{&c.MFA.RequireAdmin} },
		},
		{
			Name: "REQUIRE_MFA_ROLES",
			Doc: "Roles whose bearers need two-step verification, each with the days for which " +
				"they can sign in without it, or without a number for MFA_GRACE_PERIOD_DAYS: " +
				"finance=0 editor=14 auditor.",
			place: func(c *Config) value { return roleGraces{&c.MFA.Roles} },
		},
		{
			Name:    "MFA_GRACE_PERIOD_DAYS",
			Default: "7",
			Doc: "For how many days users who need two-step verification can sign in without " +
				"it. They count from the first sign-in at which the user needs it.",
			place: func(c *Config) value {
				return duration{
					p:     &c.MFA.Grace,
					unit:  day,
					max:   year,
					plain: true,
				}
			},
		},
		{
			Name:    "TRUST_BROWSER_DAYS",
			Default: "30",
			Doc: "For how many days a browser skips the second step if its user trusts it; 0 " +
				"never does. Such a sign-in does not count as one with two factors, and " +
				"administrators under REQUIRE_ADMIN_MFA never skip it.",
			place: func(c *Config) value {
				return duration{
					p:     &c.MFA.TrustBrowser,
					unit:  day,
					max:   year,
					plain: true,
				}
			},
		},
	}
}

// signUpRows returns the settings of joining.
func signUpRows() []Setting {
	return []Setting{
		{
			Name:    "ENABLE_SIGNUP",
			Default: "false",
			Doc:     "Whether people may make an account of their own at /signup. It needs mail.",
			place:   func(c *Config) value { return boolean{&c.Accounts.SignUp} },
		},
		{
			Name: "SIGNUP_EMAIL_DOMAINS",
			Doc: "The domains whose addresses may sign up, without their subdomains; none means any. " +
				"Invitations go to any address.",
			place: func(c *Config) value {
				return list{&c.Accounts.SignUpDomains, "domains, such as example.com", mailDomain}
			},
		},
		{
			Name:    "EMAIL_VERIFICATION_REQUIRED",
			Default: "true",
			Doc: "Whether people with --must-verify-email confirm their email address when they sign in, " +
				"before any app gets anything. Who signs up always confirms the address first.",
			place: func(c *Config) value { return boolean{&c.Accounts.VerifyRequired} },
		},
		{
			Name:    "EMAIL_VERIFICATION_TTL",
			Default: "86400",
			Doc:     "How long a link or a code to confirm an email address works.",
			place: func(c *Config) value {
				return seconds(&c.Accounts.VerifyTTL, 5*time.Minute, 30*day)
			},
		},
		{
			Name:    "HIDE_EMAIL_EXISTENCE",
			Default: "true",
			Doc: "Whether the pages for signing up and for a forgotten password answer alike for every address. " +
				"With false they say whether there is an account: strangers can find out who has one.",
			place: func(c *Config) value { return boolean{&c.Accounts.HideExistence} },
		},
	}
}

// mailDomain reports whether s may be the domain of email addresses.
func mailDomain(s string) bool {
	a, err := idna.Lookup.ToASCII(s)
	return err == nil && strings.Contains(a, ".") && !strings.ContainsAny(a, "@*/:")
}

func accountRows() []Setting {
	return append(signUpRows(), []Setting{
		{
			Name:    "LOGIN_METHODS",
			Default: "password passkey",
			Doc: "The ways to begin a sign-in. Without password, the sign-in page asks for none, and " +
				"nobody can set or reset one; email_code and magic_link need mail. What people have " +
				"set up as a second step stays valid.",
			place: func(c *Config) value {
				return subset{&c.Accounts.LoginMethods, []string{"password", "passkey", "email_code", "magic_link"}}
			},
		},
		{
			Name:    "PASSWORD_RESET_TTL",
			Default: "3600",
			Doc:     "How long a link to reset a password works.",
			place: func(c *Config) value {
				return seconds(&c.Accounts.PasswordResetTTL, 5*time.Minute, day)
			},
		},
		{
			Name:    "PASSWORD_RESET_RATE_LIMIT",
			Default: "3",
			Doc: "How many links to reset a password one mailbox is sent in " +
				"PASSWORD_RESET_RATE_WINDOW, wherever the requests come from.",
			place: func(c *Config) value { return number[int]{&c.Accounts.PasswordResets, 1, 1000} },
		},
		{
			Name:    "PASSWORD_RESET_RATE_WINDOW",
			Default: "3600",
			Doc:     "The window of PASSWORD_RESET_RATE_LIMIT.",
			place: func(c *Config) value {
				return seconds(&c.Accounts.ResetWindow, time.Minute, 30*day)
			},
		},
		{
			Name:    "RECOVERY_DELAY",
			Default: "24h",
			Doc: "How long a person who has lost the second step, and has proved the password and " +
				"the mailbox, waits before it can be turned off. Who has nothing but passkeys " +
				"proves the mailbox, and replaces them after the wait; 0 means that only an " +
				"administrator can help.",
			place: func(c *Config) value { return seconds(&c.Accounts.RecoveryDelay, 0, 30*day) },
		},
		{
			Name:    "DEFAULT_LOCALE",
			Default: "en",
			Doc: "The language of messages to people who have chosen none: en, " +
				"ar, de, es, fr, it, ja, nl, pl, pt-BR, tr or zh-Hans.",
			place: func(c *Config) value { return text{&c.Accounts.DefaultLocale, "a language tag"} },
		},
	}...)
}

func passkeyRows() []Setting {
	return []Setting{
		{
			Name: "PASSKEY_RP_ID",
			Doc: "The host name that passkeys are bound to: that of BASE_URL or a domain above it. It " +
				"cannot change later without losing all passkeys. The default is the host of BASE_URL.",
			place: func(c *Config) value { return text{&c.Passkeys.ServerID, "a host name"} },
		},
		{
			Name:    "PASSKEY_USER_VERIFICATION",
			Default: "preferred",
			Doc: "Whether every passkey must verify the person, by a fingerprint, a face or a PIN. " +
				"With preferred, security keys that cannot are accepted as a second step, after the " +
				"password; alone, a passkey must verify the person always.",
			place: func(c *Config) value {
				return choice[string]{&c.Passkeys.Verification, []string{"preferred", "required"}}
			},
		},
		{
			Name:    "PASSKEY_ATTESTATION",
			Default: "none",
			Doc: "Whether authenticators are asked what they are. direct stores the attestation with " +
				"the passkey; some people are asked by their browser whether they agree.",
			place: func(c *Config) value {
				return choice[string]{&c.Passkeys.Attestation, []string{"none", "direct"}}
			},
		},
		{
			Name: "PASSKEY_AAGUIDS",
			Doc: "The models of authenticators that are accepted, by their AAGUID. Needs " +
				"PASSKEY_ATTESTATION=direct. The default is all.",
			place: func(c *Config) value { return list{&c.Passkeys.AAGUIDs, "AAGUIDs", isUUID} },
		},
		{
			Name: "PASSKEY_RELATED_ORIGINS",
			Doc: "Other origins whose pages may use the same passkeys, such as https://example.org. " +
				"They are listed at /.well-known/webauthn. The default is none.",
			place: func(c *Config) value { return list{&c.Passkeys.Related, "origins", isOrigin} },
		},
	}
}

// accountDataRows returns the settings of what accounts know and tell.
func accountDataRows() []Setting {
	return []Setting{
		{
			Name:    "ACCOUNT_DELETION_GRACE_DAYS",
			Default: "14",
			Doc: "For how many days people can keep an account after they asked to delete it; 0 " +
				"erases it at once.",
			place: func(c *Config) value {
				return duration{
					p:     &c.Accounts.DeletionGrace,
					unit:  day,
					max:   year,
					plain: true,
				}
			},
		},
		{
			Name: "GEOIP_DATABASE",
			Doc: "A file of cities or countries in MaxMind's format (.mmdb), by which people see the " +
				"places of their sign-ins. The server holds it in memory, and reads it again when it " +
				"is replaced.",
			place: func(c *Config) value { return text{&c.Accounts.Places, "a file"} },
		},
		{
			Name:    "NOTIFY_ON_SECRET_ROTATION",
			Default: "false",
			Doc: "Tell all administrators by mail, and NOTIFICATION_WEBHOOK, when the secret of a " +
				"client is rotated.",
			place: func(c *Config) value { return boolean{&c.Mail.NotifyRotation} },
		},
	}
}

func mailRows() []Setting {
	return append([]Setting{
		{
			Name: "SMTP_HOST",
			Doc: "The mail server. Without one, messages are shown at /dev/mail in development if BASE_URL " +
				"names this machine; else nothing that needs mail works.",
			place: func(c *Config) value { return text{&c.Mail.Host, "a host name or an address"} },
		},
		{
			Name:    "SMTP_PORT",
			Default: "587",
			Doc:     "The port of the mail server: usually 587 with starttls, 465 with tls.",
			place:   func(c *Config) value { return number[int]{&c.Mail.Port, 1, 65535} },
		},
		{
			Name:    "SMTP_SECURITY",
			Default: "starttls",
			Doc: "How the connection is encrypted. starttls never falls back to a plain " +
				"connection; none is for a mail server on this machine.",
			place: func(c *Config) value {
				return choice[string]{&c.Mail.Security, []string{"starttls", "tls", "none"}}
			},
		},
		{
			Name:  "SMTP_USER",
			Doc:   "The username at the mail server. The default is to send without signing in.",
			place: func(c *Config) value { return text{&c.Mail.User, "a username"} },
		},
		{
			Name:   "SMTP_PASSWORD",
			Secret: true,
			Doc:    "The password at the mail server.",
			place:  func(c *Config) value { return sealed{&c.Mail.Password, "a password"} },
		},
	}, messageRows()...)
}

func messageRows() []Setting {
	return []Setting{
		{
			Name:  "SMTP_FROM",
			Doc:   "The address that messages come from, such as login@example.com. SMTP_HOST needs it.",
			place: func(c *Config) value { return text{&c.Mail.From, "an email address"} },
		},
		{
			Name:  "SMTP_FROM_NAME",
			Doc:   "The name that messages come from. The default is the name of the product.",
			place: func(c *Config) value { return text{&c.Mail.FromName, "a name"} },
		},
		{
			Name:    "SMTP_MAX_RATE",
			Default: "0",
			Doc:     "How many messages a second are sent at most; 0 means no limit.",
			place:   func(c *Config) value { return number[int]{&c.Mail.MaxRate, 0, 100_000} },
		},
		{
			Name:    "DELIVERY_GIVE_UP",
			Default: "72h",
			Doc: "How long a message, an event for a webhook or a record for a log server is tried " +
				"before it is given up on.",
			place: func(c *Config) value {
				return seconds(&c.Mail.GiveUp, time.Minute, 30*day)
			},
		},
	}
}
