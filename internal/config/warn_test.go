package config

import (
	"strings"
	"testing"
)

func TestWarnings(t *testing.T) {
	const key = "SECRET_KEY=6f1c9f2a4be87d035a6c1e9b20d4f7835be6a1907cd24f38e95b0a6d71c3f842"
	for name, c := range map[string]struct {
		env  []string
		want string // "" for none
	}{
		"nothing":                      {nil, ""},
		"other programs":               {[]string{"PATH=/bin", "LOGNAME=x", "LC_ALL=C", "SSL_CERT_FILE=x", "SSL_CERT_DIR=x", "XDG_DATA_DIRS=x", "HOSTNAME=x"}, ""},
		"a setting's file":             {[]string{"SECRET_KEY_FILE="}, ""},
		"misspelled":                   {[]string{"LOG_LEVLE=debug"}, "did you mean LOG_LEVEL?"},
		"misspelled, a file":           {[]string{"SECRET_KYE_FILE=x"}, "did you mean SECRET_KEY?"},
		"misspelled, empty":            {[]string{"LOG_LEVLE="}, ""},
		"another program's":            {[]string{"CRYSTAL_ENV=production"}, "use ENVIRONMENT"},
		"JWT_SECRET":                   {[]string{"JWT_SECRET=x"}, "use SECRET_KEY"},
		"not in this release":          {[]string{"EMAIL_PREVIEW=1"}, "no effect in this release"},
		"another program's, not built": {[]string{"APPLE_TEAM_ID=x"}, "APPLE_TEAM_ID has no effect in this release"},
		"threads":                      {[]string{"CRYSTAL_WORKERS=8"}, "use GOMAXPROCS"},
		"Kubernetes Services":          {[]string{"PORT=tcp://10.0.0.1:8080", "GATEHOUSE_PORT=tcp://10.0.0.2:80", "REDIS_PORT=tcp://10.0.0.3:6379", "OTHER_PORT=tcp://10.0.0.4:1"}, "environment: GATEHOUSE_PORT, PORT, REDIS_PORT holds the address of a Kubernetes Service"},
		"no Service":                   {[]string{"PORT=1", "REDIS_PORT=6379"}, ""},
		"reset links end early":        {[]string{"PASSWORD_RESET_TTL=300"}, "PASSWORD_RESET_TTL is shorter"},
		"reset links last as long":     {[]string{"PASSWORD_RESET_TTL=300", "PASSWORD_RESET_RATE_WINDOW=300"}, ""},
		"everybody trusted":            {[]string{"TRUSTED_PROXIES=0.0.0.0/0"}, "every caller can choose"},
		"everybody, IPv6":              {[]string{"TRUSTED_PROXIES=10.0.0.1 ::/0"}, "every caller can choose"},
		"proxy forgotten": {
			[]string{"ENVIRONMENT=production", "BASE_URL=https://id.example.com", key},
			"list it in TRUSTED_PROXIES",
		},
		"proxy not forgotten": {
			[]string{"ENVIRONMENT=production", "BASE_URL=https://id.example.com", "TRUSTED_PROXIES=10.0.0.1", key}, "",
		},
		"no proxy": {
			[]string{"ENVIRONMENT=production", "BASE_URL=https://id.example.com", "SSL_CERT=c", "SSL_KEY=k", key}, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := Load(Source{Env: c.env})
			if err != nil {
				t.Fatal(err)
			}
			got := strings.Join(cfg.Warnings(), "; ")
			if c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func TestWeakKeysAreRejectedInProduction(t *testing.T) {
	for key, weak := range map[string]bool{
		strings.Repeat("a", 32):                                            true,
		strings.Repeat("a", 64):                                            true,
		strings.Repeat("changeme", 4):                                      true,
		"changemechangemechangemechangeme12":                               true,
		"0123456789abcdef0123456789abcdef":                                 true,
		"abcdefghijklmnopqrstuvwxyz0123456789":                             true,
		"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f": true,
		"your-256-bit-secret-key-here-0123":                                true,
		"correcthorsebatterystaplecorrecthorsebatterystaple":               true,
		"6f1c9f2a4be87d035a6c1e9b20d4f7835be6a1907cd24f38e95b0a6d71c3f842": false,
		"bxwcn5Sg0wqFh7v0k1ZQm3pLr8TtYy2e":                                 false,
		"q1wRZ0c2mX8hVv7JkPz4nB6tYd9LsG3fUaEoIiKqWxM=":                     false,
	} {
		for _, environment := range []string{"development", "production"} {
			_, err := Load(Source{Env: []string{
				"ENVIRONMENT=" + environment, "BASE_URL=https://id.example.com", "SECRET_KEY=" + key,
			}})
			want := weak && environment == "production"
			if (err != nil) != want || want && !strings.Contains(err.Error(), "openssl rand -hex 32") {
				t.Errorf("%s in %s: %v", key, environment, err)
			}
			if err != nil && strings.Contains(err.Error(), key) {
				t.Errorf("the key is shown: %v", err)
			}
		}
	}
}

func TestDaysInDurations(t *testing.T) {
	for in, ok := range map[string]bool{
		"REFRESH_TOKEN_TTL=30d": true, "REFRESH_TOKEN_TTL=0": true, "SESSION_DURATION_DAYS=7d": true,
		"LOCKOUT_DURATION=1d": true, "IDLE_TIMEOUT_MINUTES=1d": false, "REFRESH_TOKEN_TTL=d": false,
		"REFRESH_TOKEN_TTL=-1d": false, "REFRESH_TOKEN_TTL=99999999d": false, "REFRESH_TOKEN_TTL=4294967295d": false,
	} {
		if _, err := Load(Source{Env: []string{in}}); (err == nil) != ok {
			t.Errorf("%s: %v", in, err)
		}
	}
}

func TestSQLiteAddressWithTwoSlashes(t *testing.T) {
	for in, want := range map[string]string{
		"sqlite://data/x.db": "write sqlite:data/x.db, or sqlite:/data/x.db",
		"sqlite:data/x.db":   "",
		"sqlite:///var/x.db": "",
		"sqlite:/var/x.db":   "",
	} {
		_, err := Load(Source{Env: []string{"DATABASE_URL=" + in}})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", in, err)
		}
	}
}
