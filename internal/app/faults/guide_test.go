package faults_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// A guide is a page of docs/guides, whose commands the tests run as they are printed.
type guide struct {
	t      testing.TB
	name   string
	blocks []*printed
}

// printed is one fenced block of a guide. Behind the language may stand what else is to be known:
// "not-run:" with the reason why no test can run it, or "session" for conformance/accounts-api.
type printed struct {
	language, note, text string
	used                 bool
}

var fence = regexp.MustCompile("(?sm)^( *)```(\\w+) *([^\n]*)\n(.*?)^ *```$")

func readGuide(t testing.TB, name string) *guide {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("../../../docs/guides", name+".md"))
	testkit.Must(t, err)
	g := &guide{t: t, name: name}
	for _, m := range fence.FindAllStringSubmatch(string(raw), -1) {
		g.blocks = append(g.blocks, &printed{
			language: m[2], note: m[3], text: regexp.MustCompile("(?m)^"+m[1]).ReplaceAllString(m[4], ""),
		})
	}
	return g
}

// block returns the block that has a text. There must be one.
func (g *guide) block(has string) string {
	g.t.Helper()
	var found []*printed
	for _, b := range g.blocks {
		if strings.Contains(b.text, has) {
			found = append(found, b)
		}
	}
	if len(found) != 1 {
		g.t.Fatalf("%d blocks of %s.md have %q", len(found), g.name, has)
	}
	found[0].used = true
	return found[0].text
}

// settings returns commands that set the settings of a block, which must be known ones, and try
// them.
func (g *guide) settings(has string) string {
	g.t.Helper()
	block := g.block(has)
	known, err := os.ReadFile("../../../deploy/.env.example")
	testkit.Must(g.t, err)
	for _, m := range regexp.MustCompile(`(?m)^(?:export )?([A-Z0-9_]+)=`).FindAllStringSubmatch(block, -1) {
		name := strings.TrimSuffix(m[1], "_FILE")
		if !strings.Contains(string(known), "\n#"+name+"=") && !strings.Contains(string(known), "\n#"+m[1]+"=") && !strings.HasPrefix(name, "AWS_") {
			g.t.Errorf("%s.md sets %s, which is no setting", g.name, m[1])
		}
	}
	return "(\nset -a\n" + block + "\ngatehouse migrate --dry-run >/dev/null\n)\n"
}

// rest reports the blocks of commands that no test has run, except those with these texts and those
// of which the guide says why.
func (g *guide) rest(except ...string) {
	g.t.Helper()
	for _, text := range except {
		g.block(text)
	}
	for _, b := range g.blocks {
		reason, marked := strings.CutPrefix(b.note, "not-run:")
		switch {
		case b.language != "sh" || b.note == "session":
		case marked && (b.used || strings.TrimSpace(reason) == ""):
			g.t.Errorf("this block of %s.md says that it is not run:\n%s", g.name, b.text)
		case !marked && !b.used:
			g.t.Errorf("no test runs this block of %s.md:\n%s", g.name, b.text)
		}
	}
}

// ownMachine makes the process a machine of its own, whose network, programs, settings and data are
// gone with it. Stand-ins take the place of what needs an init system: systemctl starts the one
// service as its unit says, with the user and the capability that the unit names; sudo becomes the
// user, and asks for no password.
const ownMachine = `
mount -t proc proc /proc
mount -t tmpfs tmpfs "$PLACE"
for dir in etc usr/bin; do
  mkdir -p "$PLACE/over/$dir/new" "$PLACE/over/$dir/work"
  mount -t overlay overlay -o "lowerdir=/$dir,upperdir=$PLACE/over/$dir/new,workdir=$PLACE/over/$dir/work" "/$dir"
done
for dir in /var/lib /var/backups /mnt; do mount -t tmpfs tmpfs "$dir"; done
ip link set lo up
echo '127.0.0.1 id.example.com' >>/etc/hosts
mkdir "$PLACE/bin" "$PLACE/home"
cd "$PLACE/home"
cp "$BINARY" gatehouse
mount -t tmpfs tmpfs /tmp
PATH="$PLACE/bin:$PATH"

cat >"$PLACE/bin/sudo" <<'END'
#!/bin/sh
[ "$1" = -u ] || exit 1
user=$2; shift 2
exec runuser -u "$user" -- "$@"
END

cat >"$PLACE/bin/systemctl" <<'END'
#!/bin/sh -eu
unit=/etc/systemd/system/gatehouse.service
of() { sed -n "s/^$1=//p" "$unit"; }
start() {
  install -d -o "$(of User)" -g "$(of Group)" -m "$(of StateDirectoryMode)" "$(of WorkingDirectory)"
  cd "$(of WorkingDirectory)"
  [ "$(of AmbientCapabilities)" = CAP_NET_BIND_SERVICE ]
  setpriv --reuid "$(of User)" --regid "$(of Group)" --init-groups --no-new-privs --bounding-set -all,+net_bind_service \
    --inh-caps -all,+net_bind_service --ambient-caps -all,+net_bind_service \
    env -i PATH=/usr/bin $(of ExecStart) >>"$PLACE/log" 2>&1 &
  echo $! >"$PLACE/main"
  for i in $(seq 600); do
    curl -fsk https://id.example.com/readyz >/dev/null && return
    sleep 0.1
  done
  exit 1
}
over() { while [ -d "/proc/$1" ] && ! grep -q '^State:.*Z' "/proc/$1/status"; do sleep 0.1; done; }
case "$*" in
daemon-reload) ;;
"enable --now gatehouse" | "start gatehouse") start ;;
"stop gatehouse") pid=$(cat "$PLACE/main"); kill "$pid"; over "$pid" ;;
"reload gatehouse" | "kill --signal=USR2 --kill-whom=main gatehouse")
  pid=$(cat "$PLACE/main")
  kill -USR2 "$pid"
  until next=$(cat "/proc/$pid"/task/*/children) && [ -n "$next" ]; do [ -d "/proc/$pid" ]; sleep 0.1; done
  over "$pid"
  echo $next >"$PLACE/main"
  ;;
*) echo "systemctl $*: not known to this test" >&2; exit 1 ;;
esac
END
chmod +x "$PLACE"/bin/*

# The commands of the guides that name no settings take those of the server, as "Run in production" says.
settings() { gatehouse() { sudo -u gatehouse gatehouse "$@" --config /etc/gatehouse/gatehouse.yaml; }; }
answers() { curl -fsk "https://id.example.com$1"; }
`

// step is a part of a story: a title, and what is typed.
func step(title, commands string) string {
	return fmt.Sprintf("echo '== %s' >&2\n%s\n", title, commands)
}

// An operator sets a machine up as "Run in production" prints it, with HTTPS on the ports 443 and
// 80 as the user of the service, backs it up, hands the server over while requests come, restores
// it in both ways and tries a restore, each time with the commands of the guides.
func TestCommandsOfTheProductionGuide(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		testkit.Missing(t, "only root can make a machine of namespaces")
	}
	for _, name := range []string{"unshare", "ip", "setpriv", "runuser", "curl", "systemd-sysusers"} {
		testkit.Need(t, name)
	}
	run, backup, upgrade := readGuide(t, "production"), readGuide(t, "backup"), readGuide(t, "upgrade")
	restored := "answers /readyz >/dev/null; gatehouse user list --json | grep -q ada@example.com"
	empty := "systemctl stop gatehouse; mv /var/lib/gatehouse /var/lib/gatehouse.before; install -d -o gatehouse -g gatehouse -m 700 /var/lib/gatehouse"
	story := ownMachine +
		step("install", run.block("./gatehouse install systemd")) +
		"echo 'drain_delay: 0' >>/etc/gatehouse/gatehouse.yaml # from the next start on, so that the test need not wait\n" +
		step("it serves as its own user", `[ "$(stat -c %U "/proc/$(cat "$PLACE/main")")" = gatehouse ]; answers /readyz >/dev/null
			[ "$(curl -s -o /dev/null -w '%{redirect_url}' http://id.example.com/login)" = https://id.example.com/login ]
			[ "$(stat -c '%a %U %G' /etc/gatehouse/gatehouse.yaml)" = '640 root gatehouse' ]; settings`) +
		step("first administrator", "PASSWORD='"+password+", and more of it'\n"+run.block("--role super_admin")) +
		step("back up", run.block("gatehouse backup /var/backups/")) +
		step("hand over while requests come", `
			(while [ ! -e "$PLACE/over.now" ]; do answers /.well-known/openid-configuration >/dev/null || echo >>"$PLACE/failed"; echo >>"$PLACE/requests"; done) & asking=$!
			former=$(cat "$PLACE/main")
			`+upgrade.block("systemctl kill --signal=USR2")+`
			touch "$PLACE/over.now"; wait $asking
			[ "$(cat "$PLACE/main")" != "$former" ]; [ ! -e "$PLACE/failed" ]; [ "$(wc -l <"$PLACE/requests")" -gt 20 ]`) +
		step("back up as the other guide prints it", "install -d -o gatehouse /mnt/safe /mnt/safe/gatehouse\n"+
			backup.block("sudo -u gatehouse gatehouse backup /mnt/safe/")+backup.block("gatehouse backup --verify /mnt/safe/            #")+
			"sudo -u gatehouse gatehouse backup /mnt/safe/gatehouse/ --config /etc/gatehouse/gatehouse.yaml") +
		step("move", empty+"\n"+run.block("--move")+"\nsystemctl start gatehouse; "+restored+"; mv /var/lib/gatehouse.before /mnt/first") +
		step("recover", empty+"\n"+run.block("--recover")+"\nsystemctl start gatehouse; "+restored+"; mv /var/lib/gatehouse.before /mnt/second") +
		step("the backup of last night", backup.block("mv /var/lib/gatehouse /var/lib/gatehouse.old")+restored) +
		step("try a restore", strings.Replace(backup.block("--copy"), "gatehouse restore", `SECRET_KEY=$(sed -n 's/^secret_key: *//p' /etc/gatehouse/gatehouse.yaml | tr -d '"') command gatehouse restore`, 1)) +
		step("the end", "systemctl stop gatehouse")
	bin, err := program()
	testkit.Must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 2*testkit.HangAfter)
	defer cancel()
	cmd := exec.CommandContext(ctx, "unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "sh", "-euc", story)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "PLACE=/srv", "BINARY=" + bin}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}

	run.rest(
		"apt install ./gatehouse",   // TestDebianPackage in deploy
		"docker compose --env-file", // TestStarts in conformance/chart
		"helm install",              // TestGuide in conformance/chart
		"REDIS_URL=",                // TestRedisFailover, and cache's tests of clusters
		"ROUTES_FILE=",              // TestRoutesFollowTheFile in internal/app
		"/gateway/check",            // conformance/gateway-proxies.test.mjs
	)
}
