package faults_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// A reading is how a test reads a guide: on an installation with these settings, it types what
// story returns, which has the blocks of the guide in the order of the reader. words are pairs of
// what the guide prints and what this machine has in its place.
type reading struct {
	settings map[string]string
	programs []string // packages of programs that the story calls
	words    []string
	story    func(g *guide) string
	except   []string // blocks that other tests run
}

// The words that all stories share.
const reader = `
curl() { command curl -sS --fail-with-body "$@"; }

# token SCOPE: TOKEN is an access token with that scope, of a client of the test.
token() {
  gatehouse client create --name "$1" --grant client_credentials --scope "$1" --json >"$HOME/story.json"
  own="$(jq -r .client_id "$HOME/story.json"):$(jq -r .client_secret "$HOME/story.json")"
  until command curl -sf -u "$own" "$BASE_URL/oauth/token" -d grant_type=client_credentials -d scope="$1" >"$HOME/token.json"; do sleep 0.1; done
  TOKEN=$(jq -r .access_token "$HOME/token.json")
}
`

// stop stops a server that a story has started.
const stop = "kill $server\nwait $server || true\n"

// asJSON returns a command that writes its answer as JSON to a file.
func asJSON(command, file string) string {
	return strings.TrimRight(command, "\n") + " --json >" + file + "\n"
}

// readings has the guides with commands that need one machine and no systemd.
func readings(t *testing.T) map[string]*reading {
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if strings.HasPrefix(r.URL.Path, "/gone") {
			w.WriteHeader(http.StatusGone)
		}
	}))
	t.Cleanup(service.Close)
	sink := newMailSink(t, 0)
	metrics := strconv.Itoa(testkit.FreePort(t))
	return map[string]*reading{
		"accounts-api": {
			story: func(g *guide) string {
				return asJSON(g.block("gatehouse client create"), "client.json") +
					"SERVER=$BASE_URL CLIENT_ID=$(jq -r .client_id client.json) STATE=$(openssl rand -hex 16)\n" +
					"until " + strings.TrimSpace(strings.Replace(g.block("passkey/options"), "curl ", "command curl -f ", 1)) + "; do sleep 0.1; done\n"
			},
		},
		"backup": {
			programs: []string{"filippo.io/age/cmd/age-keygen"},
			words:    []string{"postgres://...", "'" + testkit.StartPostgres(t) + "'", "/mnt/safe/", "$HOME/safe/", "systemctl stop gatehouse", "true"},
			story: func(g *guide) string {
				return "mkdir safe\n" + g.settings("BACKUP_EVERY=24h") + g.settings("AWS_ENDPOINT_URL_S3") +
					"(\n" + strings.Replace(g.block("age-keygen -o"), "age1...", "$(age-keygen -y backup-key.txt)", 1) + ")\n" +
					strings.Replace(g.block("gatehouse backup move.backup"), "gatehouse serve ", "gatehouse serve --port 0 &\nserver=$! ", 1) +
					"DATABASE_URL=postgres://... gatehouse user list\n" + stop
			},
			except: []string{
				// TestCommandsOfTheProductionGuide
				"gatehouse backup --verify /mnt/safe/            #", "sudo -u gatehouse gatehouse backup /mnt/safe/", "mv /var/lib/gatehouse /var/lib/gatehouse.old", "--copy",
				// TestLitestream
				"litestream replicate", "litestream restore",
			},
		},
		"branding": {
			story: func(g *guide) string {
				return "gatehouse client create --id notes --name Notes --grant client_credentials\n" + g.block("--brand-color")
			},
		},
		"browser-apps": {
			story: func(g *guide) string {
				return "gatehouse scope create orders:read --description 'view your orders'\n" +
					asJSON(g.block("gatehouse client create"), "client.json") +
					strings.Replace(g.block("--keep-refresh"), "CLIENT-ID", "$(jq -r .client_id client.json)", 1)
			},
		},
		"command-line": {
			words: []string{"ann ", "ada@example.com "},
			story: func(g *guide) string {
				return "PASSWORD='" + password + " and more'\ngatehouse user create --email ada@example.com\n" +
					asJSON(g.block("gatehouse client create --name CI"), "client.json") +
					"id=$(jq -r .client_id client.json) secret=$(jq -r .client_secret client.json)\n(\n" +
					strings.NewReplacer("GATEHOUSE_CLIENT_ID=…", "GATEHOUSE_CLIENT_ID=$id",
						"GATEHOUSE_CLIENT_SECRET=…", "GATEHOUSE_CLIENT_SECRET=$secret").Replace(g.block("export GATEHOUSE_SERVER")) +
					")\n" + g.block("gatehouse session ls") + g.block("gatehouse completion bash") +
					"grep -q gatehouse ~/.local/share/bash-completion/completions/gatehouse\n"
			},
		},
		"configuration-as-code": {
			story: func(g *guide) string {
				document := g.block("name: clerk")
				return "export SHOP_API_SECRET=$(openssl rand -hex 32) HOOK_SECRET=whsec_$(openssl rand -base64 24)\n" +
					strings.Replace(g.block("gatehouse export --label"), "# edit it", "cat >gatehouse.yaml <<'END'\n"+document+"END", 1) +
					g.block("--schema") + "gatehouse client show shop-web\n"
			},
		},
		"connect": {
			words: []string{"CLIENT_ID", "shop"},
			story: func(g *guide) string {
				return "gatehouse client create --id shop --name Shop --grant client_credentials\n" +
					"gatehouse route create --domain shop --version v1 --upstream http://127.0.0.1:9\n" +
					"until command curl -sf $BASE_URL/.well-known/oauth-protected-resource/shop/v1; do sleep 0.1; done\n" +
					g.block("oauth-protected-resource")
			},
		},
		"doctor": {
			settings: map[string]string{"SECRET_KEY": "9d1f0c5a7be3846212d4f6a8b0c2e4967183a5c7e9fb0d2f416385a7c9ebfd10"},
			story: func(g *guide) string {
				return "gatehouse user create --email ada@example.com --role super_admin\n" + g.block("gatehouse doctor")
			},
		},
		"gateway": {
			words: []string{"http://127.0.0.1:9000", service.URL},
			story: func(g *guide) string {
				create, ask, _ := strings.Cut(g.block("gatehouse route create --domain shop"), "\n\n")
				return "gatehouse scope create shop:read --description 'view the shop'\n" + create + `
gatehouse client create --id shop --name Shop --grant client_credentials --scope shop:read --resource "$BASE_URL/shop/v1" --json >shop.json
until command curl -sf -u "shop:$(jq -r .client_secret shop.json)" "$BASE_URL/oauth/token" -d grant_type=client_credentials \
  -d resource="$BASE_URL/shop/v1" >token.json; do sleep 0.1; done
TOKEN=$(jq -r .access_token token.json)
` + ask
			},
		},
		"import-users": {
			story: importStory,
		},
		"mail": {
			settings: map[string]string{
				"SMTP_HOST": "127.0.0.1", "SMTP_PORT": strconv.Itoa(sink.port), "SMTP_SECURITY": "none", "SMTP_FROM": "login@example.com",
			},
			words: []string{"/run/secrets/smtp-password", "$HOME/secret"},
			story: func(g *guide) string {
				return "echo secret >$HOME/secret\n" + g.block("gatehouse user create") +
					strings.Replace(g.settings("SMTP_PASSWORD_FILE"), "set -a", "set -a\nunset SMTP_SECURITY", 1) +
					g.block("mail test") + g.block("mail preview") + "gatehouse role create staff\n" + g.block("user invite") + `
gatehouse user invite nobody@example.com
until ID=$(gatehouse mail list --state dead --json | jq -er '.data[0].id'); do sleep 0.1; done
` + strings.Replace(g.block("mail retry"), "retry ID", "retry $ID", 1) + g.settings("ENABLE_SIGNUP") + g.settings("LOGIN_METHODS")
			},
		},
		"management-api": {story: managementStory},
		"monitor": {
			words: []string{"9464", metrics, "gatehouse serve\n", "gatehouse serve --port 0 &\nserver=$!\n"},
			story: func(g *guide) string {
				return strings.Replace(g.block("METRICS_PORT=9464"), "curl -s", "until command curl -sf", 1) +
					"do sleep 0.1; done >/dev/null\n" + stop + g.block("OTEL_TRACES_SAMPLER_ARG") + stop
			},
		},
		"protect-an-api": {
			story: func(g *guide) string {
				return asJSON(g.block("gatehouse scope create"), "client.json") + "token openid\nID=${own%:*} SECRET=${own#*:}\n" + g.block("introspect")
			},
		},
		"realms": {
			words: []string{"/etc/gatehouse/realms.yaml", "$HOME/realms.yaml", "s3://", "$HOME/"},
			story: func(g *guide) string {
				return g.block("gatehouse realm create") + g.block("gatehouse --realm acme setup-link") +
					"mkdir -p $HOME/backups/realms\n" + g.block("while read -r name")
			},
		},
		"register-clients": {
			story: func(g *guide) string {
				return "gatehouse role create admin-of-all || true\n" + asJSON(g.block("gatehouse registration create"), "token.json") +
					"TOKEN=$(jq -r .token token.json)\n" + g.block("-d '{\"client_name\":\"Wiki\"") +
					"gatehouse scope create mcp:tools --description 'use tools'\n" + g.settings("OPEN_REGISTRATION=public") +
					g.block("--loopback-only") + "gatehouse client create --id shop --name Shop --grant client_credentials\n" + g.block("--rate-limit")
			},
		},
		"ship-the-audit-log": {
			words: []string{"/var/log/gatehouse/audit.log", "$HOME/audit.log", "/run/secrets/", "$HOME/", "/etc/gatehouse/logs-ca.pem", "$HOME/ca.pem"},
			story: func(g *guide) string {
				return "echo secret | tee $HOME/hec-token >$HOME/elastic-key\nopenssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=logs -keyout /dev/null -out $HOME/ca.pem 2>/dev/null\n" +
					g.settings("AUDIT_LOG_FORMAT=json") + "touch $HOME/audit.log\n" + g.block("grep user.login_failed") +
					g.settings("SYSLOG_CA") + g.settings("AUDIT_LOG_SPLUNK_URL") + g.settings("AUDIT_LOG_ELASTICSEARCH_URL") + g.block("audit sinks --gaps")
			},
		},
		"upgrade": {
			words: []string{"./gatehouse-new", "gatehouse", "/etc/gatehouse/gatehouse.yaml", "gatehouse.yaml", "postgres://gatehouse@staging/rehearsal", "'" + testkit.StartPostgres(t) + "'"},
			story: func(g *guide) string {
				return "echo 'log_level: info' >gatehouse.yaml\ngatehouse user create --email ada@example.com\n" + g.block("--rehearse --config") +
					"gatehouse backup before.backup\n" + strings.Replace(g.block("--from BACKUP"), "BACKUP", "before.backup", 1)
			},
			except: []string{"systemctl kill --signal=USR2"}, // TestCommandsOfTheProductionGuide
		},
		"webhooks": {
			words: []string{"https://example.com/hooks/gatehouse", service.URL + "/hooks/gatehouse"},
			story: func(g *guide) string {
				return g.block("gatehouse webhook create") + g.block("gatehouse webhook test") + "token admin\n" +
					strings.Replace(g.block("/api/v1/webhooks"), "/hooks/gatehouse\"", "/gone\"", 1) +
					"WEBHOOK=" + service.URL + "/hooks/gatehouse\nDELIVERY=$(gatehouse webhook deliveries $WEBHOOK --json | jq -r '.data[0].id')\n" +
					strings.NewReplacer("WEBHOOK", "$WEBHOOK", "DELIVERY", "$DELIVERY").Replace(g.block("webhook resend")) +
					strings.Replace(g.block("rotate-secret"), "WEBHOOK", "$WEBHOOK", 1)
			},
		},
	}
}

// importStory writes the files of other systems, as small as they can be, and imports them.
func importStory(g *guide) string {
	file := func(name, text string) string { return "cat >" + name + " <<'END'\n" + text + "\nEND\n" }
	bcrypt := `$2b$04$abcdefghijklmnopqrstuu8zW7gPJ4oNEI1FzbZ8Gg8G8o2BzJ0C2`
	return "gatehouse role create staff\n" +
		file("users.jsonl", strings.Replace(strings.TrimSpace(g.block(`"password_hash":"$2b$12$…"`)), "$2b$12$…", bcrypt, 1)) +
		g.block("gatehouse user import users.jsonl --dry-run") +
		file("realm.json", `{"realm":"r","users":[{"id":"0b5e26f7-8d6f-4d5c-9d2f-0e4f6a1f0c11","username":"keith","email":"keith@example.com","enabled":true}]}`) +
		g.block("--format=keycloak") +
		file("users.json", `{"users":[{"localId":"f1","email":"fay@example.com","emailVerified":true}]}`) + "echo c2lnbmVyLWtleQ== >signer.key\n" +
		g.block("--format=firebase") +
		file("users.jsonl", `{"user_id":"auth0|1","email":"olive@example.com","name":"Olive"}`) +
		file("clients.json", `[{"client_id":"job","name":"Job","grant_types":["client_credentials"]}]`) +
		g.block("gatehouse import auth0 users.jsonl --dry-run") + "rm users.jsonl\n" +
		g.block("gatehouse user export users.jsonl") + "token admin\n" + g.block("/api/v1/users/import")
}

// managementStory does the usual tasks, the first of them with the rights that the guide gives, the
// others as an administrator's program.
func managementStory(g *guide) string {
	return asJSON(g.block(`gatehouse client create --name "CI"`), "client.json") +
		"CLIENT_ID=$(jq -r .client_id client.json) CLIENT_SECRET=$(jq -r .client_secret client.json)\n" +
		"token admin # until the server knows the clients\n" + g.block("TOKEN=$(curl") +
		g.block(`"invite":true`) + g.block("status=active") +
		strings.Replace(g.block("send-password-reset"), "curl -X DELETE", "command curl -s -X DELETE", 1) + // she has no factors
		"token admin\n" + g.block("sessions?grants=true") +
		strings.Replace(g.block("/users/bulk"), `"count":42`, `"count":1`, 1) +
		"ID=$(command curl -s $BASE_URL/admin/none -o /dev/null -D - | sed -n 's/^x-request-id: *//Ip' | tr -d '\\r')\n" +
		strings.Replace(g.block("/explain/$ID"), "curl ", "command curl -s ", 1) +
		g.block(`"client_name":"Shop","grant_types":["authorization_code"`) +
		"ID=$(jq -r .client_id client.json)\n" + g.block("grace_period") + g.block("secret_expires_before") +
		g.block("older_than=30d") + g.block("Idempotency-Key")
}

// Every block of commands of every guide is typed as it is printed, each guide on an installation
// of its own, or says why no test can do that.
func TestCommandsOfTheGuides(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"curl", "jq", "openssl"} {
		testkit.Need(t, name)
	}
	all := readings(t)
	pages, err := filepath.Glob("../../../docs/guides/*.md")
	testkit.Must(t, err)
	elsewhere := map[string]bool{
		"production":        true, // TestCommandsOfTheProductionGuide
		"administer":        true, // a test of its own reads it
		"high-availability": true, // TestPatroniPair
	}
	for _, page := range pages {
		name := strings.TrimSuffix(filepath.Base(page), ".md")
		if elsewhere[name] {
			continue
		}
		g := readGuide(t, name)
		r := all[name]
		if r == nil {
			g.rest()
			continue
		}
		delete(all, name)
		t.Run(name, func(t *testing.T) {
			g.t = t
			g.types(r)
			g.rest(r.except...)
		})
	}
	for name := range all {
		t.Errorf("there is no guide %s", name)
	}
}

// types types the commands of a guide.
func (g *guide) types(r *reading) {
	g.t.Helper()
	settings := map[string]string{"LOG_FORMAT": "text"}
	for k, v := range r.settings {
		settings[k] = v
	}
	h := newHost(g.t, "sqlite:"+filepath.Join(g.t.TempDir(), "gatehouse.db"), settings)
	h.issuer = fmt.Sprintf("http://localhost:%d", h.port) // passkeys need a name
	h.env["BASE_URL"] = h.issuer
	h.serve()
	words := append([]string{
		"https://id.example.com", h.issuer, "https://login.example.com", h.issuer, "http://localhost:8080", h.issuer,
	}, r.words...)
	story := reader + strings.NewReplacer(words...).Replace(r.story(g))
	bin, err := program()
	testkit.Must(g.t, err)
	testkit.Must(g.t, os.Mkdir(filepath.Join(h.dir, "bin"), 0o755))
	testkit.Must(g.t, os.Symlink(bin, filepath.Join(h.dir, "bin", "gatehouse")))
	ctx, cancel := context.WithTimeout(g.t.Context(), testkit.HangAfter)
	defer cancel()
	for _, p := range r.programs {
		build := exec.Command("go", "build", "-o", filepath.Join(h.dir, "bin", path.Base(p)), p)
		if out, err := build.CombinedOutput(); err != nil {
			g.t.Fatalf("%v\n%s", err, out)
		}
	}
	cmd := exec.CommandContext(ctx, "sh", "-euxc", story)
	cmd.WaitDelay = time.Second // servers that the story has left
	cmd.Dir = h.dir
	cmd.Env = h.environment(map[string]string{"PATH": filepath.Join(h.dir, "bin") + ":" + os.Getenv("PATH")})
	if out, err := cmd.CombinedOutput(); err != nil {
		g.t.Errorf("%v\n%s", err, out[max(0, len(out)-4000):])
	}
}
