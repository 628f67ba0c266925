package chart_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
	"github.com/gatehouse-id/gatehouse/internal/testkit/container"
)

// envImage names the archive of the image for the processes of a test.
const envImage = "GATEHOUSE_TEST_IMAGE"

// makeImage writes the container image of the program under test, and returns the name of the file.
func makeImage(t *testing.T) string {
	t.Helper()
	program := os.Getenv("GATEHOUSE_TEST_BINARY")
	if program == "" {
		program = filepath.Join(t.TempDir(), "gatehouse")
		build := exec.Command("go", "build", "-C", "../..", "-o", program, "./cmd/gatehouse")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	to := filepath.Join(t.TempDir(), "image.tar")
	tool := exec.Command("go", "run", "-C", "../..", "./tools/image", "-out", to, "-binary", program, "-platforms", "linux/"+runtime.GOARCH)
	if out, err := tool.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return to
}

func image(t *testing.T) container.Image {
	t.Helper()
	archive, err := os.ReadFile(os.Getenv(envImage))
	testkit.Must(t, err)
	return container.Unpack(t, archive)
}

func seedObjects(t *testing.T) *objects {
	t.Helper()
	o, err := render(t, seed(t))
	testkit.Must(t, err)
	return o
}

func smallObjects(t *testing.T) *objects {
	t.Helper()
	o, err := render(t, values(t, "baseURL=https://id.example.com"))
	testkit.Must(t, err)
	return o
}

func plainObjects(t *testing.T) *objects {
	t.Helper()
	names, err := filepath.Glob("../../deploy/kubernetes/*.yaml")
	testkit.Must(t, err)
	o := new(objects)
	for _, name := range names {
		raw, err := os.ReadFile(name)
		testkit.Must(t, err)
		o.read(t, string(raw))
	}
	return o
}

// typedSecret returns the Secret that the command at the top of the manifests makes.
func typedSecret(t *testing.T) []core.Secret {
	t.Helper()
	raw, err := os.ReadFile("../../deploy/kubernetes/gatehouse.yaml")
	testkit.Must(t, err)
	comment := regexp.MustCompile(`(?m)^#   (kubectl create secret (?:.*\\\n#  )*.*)$`).FindSubmatch(raw)
	if comment == nil {
		t.Fatal("the manifests do not say how the secret is made")
	}
	command := strings.ReplaceAll(string(comment[1]), "\n#  ", "\n")
	out, err := exec.Command("sh", "-euc", "kubectl() { printf '%s\\n' \"$@\"; }\n"+command).Output()
	testkit.Must(t, err)
	words := strings.Split(string(out), "\n")
	testkit.Equal(t, "the command", strings.Join(words[:3], " "), "create secret generic")
	s := core.Secret{Data: map[string][]byte{}}
	s.Name = words[3]
	for _, w := range words[4:] {
		if literal, ok := strings.CutPrefix(w, "--from-literal="); ok {
			key, value, _ := strings.Cut(literal, "=")
			s.Data[key] = []byte(value)
		}
	}
	return []core.Secret{s}
}

// environment resolves the environment of a container as Kubernetes does.
func environment(t *testing.T, c core.Container, secrets []core.Secret) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, from := range c.EnvFrom {
		t.Fatalf("the test does not know where %v comes from", from)
	}
	for _, e := range c.Env {
		value := e.Value
		if e.ValueFrom != nil {
			ref := e.ValueFrom.SecretKeyRef
			at := slices.IndexFunc(secrets, func(s core.Secret) bool { return ref != nil && s.Name == ref.Name })
			if at < 0 {
				t.Fatalf("%s comes from %+v, which nothing makes", e.Name, e.ValueFrom)
			}
			data, ok := secrets[at].Data[ref.Key]
			if !ok {
				t.Fatalf("the Secret %s has no %s", ref.Name, ref.Key)
			}
			value = string(data)
		}
		out[e.Name] = regexp.MustCompile(`\$\((\w+)\)`).ReplaceAllStringFunc(value, func(use string) string {
			before, ok := out[use[2:len(use)-1]]
			if !ok {
				return use // as Kubernetes does
			}
			return before
		})
	}
	return out
}

func list(env map[string]string) (out []string) {
	for name, value := range env {
		out = append(out, name+"="+value)
	}
	return out
}

// kubernetes returns what objects start, with one pod of each kind.
func kubernetes(t *testing.T, o *objects, more []core.Secret) *deployment {
	t.Helper()
	secrets := append(more, o.secrets...)
	pod := o.deployments[0].Spec.Template
	c := pod.Spec.Containers[0]
	testkit.Equal(t, "containers of the server", len(pod.Spec.Containers)+len(pod.Spec.InitContainers), 1)
	env := environment(t, c, secrets)
	user := pod.Spec.SecurityContext
	d := &deployment{issuer: env["BASE_URL"], server: container.Container{
		Image: image(t), Command: c.Command, Args: c.Args, Env: list(env), ReadOnly: *c.SecurityContext.ReadOnlyRootFilesystem,
		User: syscall.Credential{Uid: uint32(*user.RunAsUser), Gid: uint32(*user.RunAsGroup), Groups: []uint32{uint32(*user.FSGroup)}},
	}}
	for _, m := range c.VolumeMounts {
		d.server.Volumes = append(d.server.Volumes, container.Volume{Path: m.MountPath, GID: int(*user.FSGroup)})
	}
	for _, s := range o.services {
		d.server.Hosts = append(d.server.Hosts, s.Name)
	}
	for _, p := range []*core.Probe{c.StartupProbe, c.LivenessProbe, c.ReadinessProbe} {
		d.probes = append(d.probes, fmt.Sprintf("http://127.0.0.1:%d%s", port(c, p.HTTPGet.Port), p.HTTPGet.Path))
	}
	for _, m := range o.monitors {
		for _, p := range o.serverService(t).Spec.Ports {
			if p.Name == m.Spec.Endpoints[0].Port {
				d.metrics = fmt.Sprintf("http://127.0.0.1:%d%s", port(c, p.TargetPort), m.Spec.Endpoints[0].Path)
			}
		}
	}
	d.way = fmt.Sprintf("http://127.0.0.1:%d", port(c, o.serverService(t).Spec.Ports[0].TargetPort))
	for _, set := range o.sets {
		d.part(t, set, secrets)
	}
	return d
}

// serverService returns the service that selects the server.
func (o *objects) serverService(t *testing.T) core.Service {
	t.Helper()
	for _, s := range o.services {
		if s.Name == o.deployments[0].Name {
			return s
		}
	}
	t.Fatal("the server has no service")
	return core.Service{}
}

// part reads the set of a part that the server needs. Replicas of Redis are left out: they would
// need the port of the first one.
func (d *deployment) part(t *testing.T, set apps.StatefulSet, secrets []core.Secret) {
	t.Helper()
	c := set.Spec.Template.Spec.Containers[0]
	env := environment(t, c, secrets)
	switch {
	case strings.HasPrefix(c.Image, "postgres:"):
		d.postgres = env
	case strings.HasPrefix(c.Image, "redis:") && !strings.HasSuffix(set.Name, "replica"):
		testkit.Need(t, "redis-server")
		d.redis = exec.Command(c.Command[0], c.Command[1:]...)
		d.redis.Dir, d.redis.Env = t.TempDir(), append(list(env), "PATH="+os.Getenv("PATH"))
	case !strings.HasSuffix(set.Name, "replica"):
		t.Fatalf("the test does not know %s", c.Image)
	}
}

// A composition is a file of compose.
type composition struct {
	Services map[string]struct {
		Deploy struct {
			Replicas int `json:"replicas"`
		} `json:"deploy"`
		Image       string            `json:"image"`
		Environment map[string]string `json:"environment"`
		Command     []string          `json:"command"`
		Entrypoint  []string          `json:"entrypoint"`
		User        string            `json:"user"`
		ReadOnly    bool              `json:"read_only"`
		Ports       []string          `json:"ports"`
		Volumes     []string          `json:"volumes"`
	} `json:"services"`
}

var variable = regexp.MustCompile(`\$\{(\w+):([-?])([^}]*)\}`)

// filled returns the values of a file of compose with those of an .env file.
func filled(t *testing.T, text string, env map[string]string) string {
	t.Helper()
	text = variable.ReplaceAllStringFunc(text, func(use string) string {
		m := variable.FindStringSubmatch(use)
		if env[m[1]] == "" && m[2] == "?" {
			t.Errorf("%s", m[3])
		}
		if env[m[1]] != "" {
			return env[m[1]]
		}
		return m[3]
	})
	return strings.ReplaceAll(text, "$$", "$")
}

// dotEnv follows the guide: it copies the example, and sets what has no default.
func dotEnv(t *testing.T) map[string]string {
	t.Helper()
	guide, err := os.ReadFile("../../docs/guides/production.md")
	testkit.Must(t, err)
	for _, line := range []string{"cp deploy/.env.example .env", "docker compose --env-file .env -f deploy/compose/sqlite.yaml up -d"} {
		if !strings.Contains(string(guide), "\n"+line) {
			t.Errorf("the guide does not say %s", line)
		}
	}
	raw, err := os.ReadFile("../../deploy/.env.example")
	testkit.Must(t, err)
	out := map[string]string{}
	for line := range strings.Lines(string(raw)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && name[0] != '#' {
			out[name] = value
		}
	}
	testkit.Equal(t, "the names to set", len(out), 4)
	out["SECRET_KEY"] = "0b53f8c11a2b4e6d8f90a1b2c3d4e5f60718293a4b5c6d7e8f9012a3b4c5d6e7"
	out["POSTGRES_PASSWORD"], out["REDIS_PASSWORD"] = "postgres-secret", "redis-secret"
	return out
}

// composed returns what a file of compose starts.
func composed(t *testing.T, name string) *deployment {
	t.Helper()
	raw, err := os.ReadFile("../../deploy/compose/" + name)
	testkit.Must(t, err)
	var doc composition
	testkit.Must(t, yaml.Unmarshal([]byte(filled(t, string(raw), dotEnv(t))), &doc))
	s := doc.Services["gatehouse"]
	im := image(t)
	uid, gid, _ := strings.Cut(im.User, ":")
	u, err := strconv.ParseUint(uid, 10, 32)
	testkit.Must(t, err)
	testkit.Equal(t, "the group of the image", gid, "0")
	if !s.ReadOnly || s.User != "" || s.Environment["BASE_URL"] == "" {
		t.Fatalf("%s: %+v", name, s)
	}
	d := &deployment{issuer: s.Environment["BASE_URL"], server: container.Container{
		Image: im, Command: s.Entrypoint, Args: s.Command, Env: list(s.Environment), ReadOnly: s.ReadOnly,
		User: syscall.Credential{Uid: uint32(u)},
	}}
	for _, v := range s.Volumes {
		_, path, _ := strings.Cut(v, ":")
		d.server.Volumes = append(d.server.Volumes, container.Volume{Path: path, UID: int(u)})
	}
	_, inside, _ := strings.Cut(s.Ports[0], ":")
	d.way = "http://127.0.0.1:" + inside
	d.probes = []string{d.way + "/livez", d.way + "/readyz"}
	for other, p := range doc.Services {
		d.server.Hosts = append(d.server.Hosts, other)
		switch {
		case strings.HasPrefix(p.Image, "postgres:"):
			d.postgres = p.Environment
		case strings.HasPrefix(p.Image, "redis:"):
			testkit.Need(t, "redis-server")
			d.redis = exec.Command(p.Command[0], p.Command[1:]...)
			d.redis.Dir, d.redis.Env = t.TempDir(), append(list(p.Environment), "PATH="+os.Getenv("PATH"))
		}
	}
	return d
}

// Each replica has a port of the machine, and the balancer that is shipped knows the first of them.
func TestComposeReplicas(t *testing.T) {
	var doc composition
	raw, err := os.ReadFile("../../deploy/compose/replicas.yaml")
	testkit.Must(t, err)
	testkit.Must(t, yaml.Unmarshal(raw, &doc))
	s := doc.Services["gatehouse"]
	m := regexp.MustCompile(`^127\.0\.0\.1:(\d+)-(\d+):8080$`).FindStringSubmatch(s.Ports[0])
	if m == nil {
		t.Fatalf("ports: %v", s.Ports)
	}
	first, err := strconv.Atoi(m[1])
	testkit.Must(t, err)
	last, err := strconv.Atoi(m[2])
	testkit.Must(t, err)
	testkit.Equal(t, "replicas", s.Deploy.Replicas, last-first+1)
	balancer, err := os.ReadFile("../../deploy/proxies/haproxy.cfg")
	testkit.Must(t, err)
	if !strings.Contains(string(balancer), " 127.0.0.1:"+m[1]+" check") {
		t.Errorf("the balancer does not ask port %d", first)
	}
}
