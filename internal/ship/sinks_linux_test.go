package ship_test

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/ship"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// TestRsyslog sends events to rsyslog over UDP, TCP and TLS, and reads what it has written.
func TestRsyslog(t *testing.T) {
	t.Parallel()
	program := "/usr/sbin/rsyslogd"
	if _, err := os.Stat(program); err != nil {
		testkit.Missing(t, "rsyslogd is not installed: run make deps, or install the packages rsyslog and rsyslog-gnutls")
	}
	if _, err := filepath.Glob("/usr/lib/*/rsyslog/lmnsd_gtls.so"); err != nil {
		t.Fatal(err)
	}
	tls := httptest.NewUnstartedServer(nil) // for its certificate
	tls.StartTLS()
	defer tls.Close()
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	pair := tls.TLS.Certificates[0]
	testkit.Must(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}), 0o600))
	raw, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	testkit.Must(t, err)
	testkit.Must(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), 0o600))
	roots := x509.NewCertPool()
	roots.AddCert(tls.Certificate())

	udp, tcp, secure := testkit.FreePort(t), testkit.FreePort(t), testkit.FreePort(t)
	config := filepath.Join(dir, "rsyslog.conf")
	testkit.Must(t, os.WriteFile(config, fmt.Appendf(nil, `
global(workDirectory="%[1]s" maxMessageSize="64k"
  defaultNetstreamDriverCAFile="%[2]s" defaultNetstreamDriverCertFile="%[2]s" defaultNetstreamDriverKeyFile="%[3]s")
module(load="imudp")
module(load="imtcp")
template(name="out" type="string" string="%%app-name%% %%msgid%% %%syslogfacility%% %%syslogseverity%% %%protocol-version%% %%msg%%\n")
ruleset(name="udp") { action(type="omfile" file="%[1]s/udp.log" template="out" flushOnTXEnd="on") }
ruleset(name="tcp") { action(type="omfile" file="%[1]s/tcp.log" template="out" flushOnTXEnd="on") }
ruleset(name="tls") { action(type="omfile" file="%[1]s/tls.log" template="out" flushOnTXEnd="on") }
input(type="imudp" address="127.0.0.1" port="%[4]d" ruleset="udp")
input(type="imtcp" address="127.0.0.1" port="%[5]d" ruleset="tcp")
input(type="imtcp" address="127.0.0.1" port="%[6]d" ruleset="tls" streamDriver.name="gtls" streamDriver.mode="1" streamDriver.authMode="anon")
`, dir, cert, key, udp, tcp, secure), 0o600))
	var output bytes.Buffer
	cmd := exec.Command(program, "-n", "-f", config, "-i", filepath.Join(dir, "pid"))
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	testkit.Must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })

	sent := map[string][]audit.Event{
		"tcp": events(300),
		"tls": events(300),
		"udp": events(20), // what a socket holds while rsyslogd does not read
	}
	for name, port := range map[string]int{"tcp": tcp, "tls": secure, "udp": udp} {
		s := ship.NewSyslog(ship.SyslogOptions{Host: "127.0.0.1", Port: port, Protocol: name, Roots: roots})
		defer s.Close()
		all := sent[name]
		var out ship.Outcome
		for end := time.Now().Add(testkit.HangAfter); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
			if out = s.Deliver(t.Context(), all); out.Err == nil {
				break
			}
		}
		if out.Err != nil || out.Done != len(all) {
			t.Fatalf("%s: %+v\n%s", name, out, &output)
		}
	}
	for _, name := range []string{"tcp", "tls", "udp"} {
		all := sent[name]
		var text string
		for end := time.Now().Add(testkit.HangAfter); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			b, _ := os.ReadFile(filepath.Join(dir, name+".log"))
			if text = string(b); strings.Count(text, "\n") >= len(all) {
				break
			}
		}
		if n := strings.Count(text, "\n"); n != len(all) {
			t.Errorf("%s: %d of %d messages", name, n, len(all))
			continue
		}
		first, _, _ := strings.Cut(text, "\n")
		doc, ok := strings.CutPrefix(first, "gatehouse user.login_failed 13 4 1 ")
		var r audit.Record
		if err := json.Unmarshal([]byte(doc), &r); !ok || err != nil || r.ID != "e0" || r.UserAgent != event("").Agent {
			t.Errorf("%s: %v %s", name, err, first)
		}
	}
}

// TestFullDisk checks that a full disk leaves whole lines only, and that everything is written once
// there is space again.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=16k"); err != nil {
		t.Skipf("no disk of its own: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	filler := filepath.Join(dir, "filler")
	testkit.Must(t, os.WriteFile(filler, make([]byte, 8192), 0o600))
	path := filepath.Join(dir, "audit.log")
	f := ship.NewFile(ship.FileOptions{Path: path, Format: ship.JSON})
	defer f.Close()
	all := events(30)
	done, failed := 0, 0
	for done < len(all) && failed < 5 {
		out := f.Deliver(t.Context(), all[done:min(done+4, len(all))])
		done += out.Done
		if out.Err == nil {
			continue
		}
		failed++
		raw, err := os.ReadFile(path)
		testkit.Must(t, err)
		if n := bytes.Count(raw, []byte("\n")); n != done || len(raw) > 0 && raw[len(raw)-1] != '\n' {
			t.Errorf("%d lines of %d events on the full disk", n, done)
		}
		if failed == 2 {
			testkit.Must(t, os.Remove(filler))
			testkit.Must(t, os.Rename(path, path+".1"))
			testkit.Must(t, os.Truncate(path+".1", 0))
		}
	}
	if failed != 2 || done != len(all) {
		t.Errorf("%d failures, %d of %d events", failed, done, len(all))
	}
}
