package chart_test

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/strvals"
	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"
)

const chartDir = "../../deploy/helm/gatehouse"

// objects are what a set of files creates, decoded with no unknown field.
type objects struct {
	deployments []apps.Deployment
	sets        []apps.StatefulSet
	services    []core.Service
	claims      []core.PersistentVolumeClaim
	secrets     []core.Secret
	ingresses   []networking.Ingress
	policies    []networking.NetworkPolicy
	budgets     []policy.PodDisruptionBudget
	scalers     []autoscaling.HorizontalPodAutoscaler
	monitors    []monitoring.ServiceMonitor
}

func decode[T any](t *testing.T, doc []byte, into *[]T) {
	t.Helper()
	var v T
	if err := yaml.UnmarshalStrict(doc, &v); err != nil {
		t.Fatalf("%v in\n%s", err, doc)
	}
	*into = append(*into, v)
}

func (o *objects) read(t *testing.T, text string) {
	t.Helper()
	for _, doc := range strings.Split(text, "\n---") {
		var head struct {
			Kind string `json:"kind"`
		}
		if err := yaml.Unmarshal([]byte(doc), &head); err != nil {
			t.Fatalf("%v in\n%s", err, doc)
		}
		raw := []byte(doc)
		switch head.Kind {
		case "":
			if len(bytes.TrimSpace(raw)) > 0 && !strings.HasPrefix(strings.TrimSpace(doc), "#") {
				t.Fatalf("no kind in\n%s", doc)
			}
		case "Deployment":
			decode(t, raw, &o.deployments)
		case "StatefulSet":
			decode(t, raw, &o.sets)
		case "Service":
			decode(t, raw, &o.services)
		case "PersistentVolumeClaim":
			decode(t, raw, &o.claims)
		case "Secret":
			decode(t, raw, &o.secrets)
		case "Ingress":
			decode(t, raw, &o.ingresses)
		case "NetworkPolicy":
			decode(t, raw, &o.policies)
		case "PodDisruptionBudget":
			decode(t, raw, &o.budgets)
		case "HorizontalPodAutoscaler":
			decode(t, raw, &o.scalers)
		case "ServiceMonitor":
			decode(t, raw, &o.monitors)
		default:
			t.Fatalf("unknown kind %s", head.Kind)
		}
	}
}

// values reads values in the form of --set, separated by commas.
func values(t *testing.T, set string) map[string]any {
	t.Helper()
	out := map[string]any{}
	for _, one := range strings.Split(set, ",") {
		path, value, ok := strings.Cut(one, "=")
		if !ok {
			continue
		}
		var v any
		if err := yaml.Unmarshal([]byte(value), &v); err != nil {
			t.Fatal(err)
		}
		at, keys := out, strings.Split(path, ".")
		for _, k := range keys[:len(keys)-1] {
			if at[k] == nil {
				at[k] = map[string]any{}
			}
			at = at[k].(map[string]any)
		}
		at[keys[len(keys)-1]] = v
	}
	return out
}

func load(t *testing.T) *chart.Chart {
	t.Helper()
	c, err := loader.Load(chartDir)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func render(t *testing.T, v map[string]any) (*objects, error) {
	t.Helper()
	c := load(t)
	all, err := chartutil.ToRenderValues(c, v, chartutil.ReleaseOptions{Name: "auth", Namespace: "auth", IsInstall: true}, chartutil.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	files, err := engine.Render(c, all)
	if err != nil {
		return nil, err
	}
	o := new(objects)
	for name, text := range files {
		if strings.HasSuffix(name, ".yaml") {
			o.read(t, text)
		}
	}
	return o, nil
}

func seed(t *testing.T) map[string]any {
	t.Helper()
	raw, err := os.ReadFile("seed.yaml")
	if err != nil {
		t.Fatal(err)
	}
	v := map[string]any{}
	if err := yaml.UnmarshalStrict(raw, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestLint(t *testing.T) {
	for name, v := range map[string]map[string]any{"seed": seed(t), "small": values(t, "baseURL=https://id.example.com")} {
		l := action.NewLint()
		l.Strict = true
		result := l.Run([]string{chartDir}, v)
		for _, err := range result.Errors {
			t.Errorf("%s: %v", name, err)
		}
		for _, m := range result.Messages {
			if m.Severity >= 2 {
				t.Errorf("%s: %v", name, m)
			}
		}
	}
}

// Shapes that would dead-lock are errors, or do not come.
func TestShapes(t *testing.T) {
	const base = "baseURL=https://id.example.com"
	for _, row := range []struct{ set, failure string }{
		{"", "set baseURL"},
		{base + ",replicaCount=2", "an SQLite database has one server"},
		{base + ",autoscaling.enabled=true", "autoscaling needs PostgreSQL"},
		{base + ",externalDatabase.host=db", "existingSecret is missing"},
		{base + ",externalDatabase.host=db,postgresql.enabled=true", "keep one of them"},
		{base + ",serviceMonitor.enabled=true", "needs metrics.enabled"},
		{base + ",redis.enabled=true,redis.architecture=ring", "must be standalone or replication"},
	} {
		if _, err := render(t, values(t, row.set)); err == nil || !strings.Contains(err.Error(), row.failure) {
			t.Errorf("%s: %v", row.set, err)
		}
	}
	o, err := render(t, values(t, base))
	if err != nil {
		t.Fatal(err)
	}
	d := o.deployments[0]
	if d.Spec.Strategy.Type != apps.RecreateDeploymentStrategyType || *d.Spec.Replicas != 1 || len(o.budgets)+len(o.scalers) > 0 || len(o.claims) != 1 {
		t.Errorf("SQLite: %v, %d budgets, %d scalers, %d claims", d.Spec.Strategy, len(o.budgets), len(o.scalers), len(o.claims))
	}
	o, err = render(t, values(t, base+",replicaCount=2,externalDatabase.host=db,externalDatabase.existingSecret=s"))
	if err != nil {
		t.Fatal(err)
	}
	if len(o.budgets) != 1 || o.budgets[0].Spec.MinAvailable != nil || o.budgets[0].Spec.MaxUnavailable.IntValue() != 1 || len(o.claims) > 0 {
		t.Errorf("two replicas: %+v", o.budgets)
	}
	o, err = render(t, seed(t))
	if err != nil {
		t.Fatal(err)
	}
	if o.deployments[0].Spec.Replicas != nil || len(o.scalers) != 1 || len(o.sets) != 3 {
		t.Errorf("autoscaling beside replicas: %v; %d sets", o.deployments[0].Spec.Replicas, len(o.sets))
	}
}

// port returns the number that a container listens on, by name or number.
func port(c core.Container, p intstr.IntOrString) int32 {
	for _, have := range c.Ports {
		if have.Name == p.StrVal && p.StrVal != "" || have.ContainerPort == p.IntVal && p.IntVal != 0 {
			return have.ContainerPort
		}
	}
	return 0
}

func setting(c core.Container, name string) string {
	for _, e := range c.Env {
		if e.Name == name {
			return e.Value
		}
	}
	return ""
}

// walk follows what selects what: monitor → service → pod → port, budget and policy → pod.
func walk(t *testing.T, o *objects) {
	t.Helper()
	pod := o.deployments[0].Spec.Template
	server := pod.Spec.Containers[0]
	checkPod(t, pod)
	selects := func(selector map[string]string) bool {
		return len(selector) > 0 && labels.SelectorFromSet(selector).Matches(labels.Set(pod.Labels))
	}
	byName := map[string]core.Service{}
	for _, s := range o.services {
		byName[s.Name] = s
	}
	for _, m := range o.monitors {
		var found []core.Service
		for _, s := range o.services {
			if labels.SelectorFromSet(m.Spec.Selector.MatchLabels).Matches(labels.Set(s.Labels)) {
				found = append(found, s)
			}
		}
		if len(found) != 1 || !selects(found[0].Spec.Selector) {
			t.Fatalf("the monitor selects %d services", len(found))
		}
		number := int32(0)
		for _, p := range found[0].Spec.Ports {
			if p.Name == m.Spec.Endpoints[0].Port {
				number = port(server, p.TargetPort)
			}
		}
		if number == 0 || setting(server, "METRICS_PORT") != fmt.Sprint(number) || setting(server, "METRICS_HOST") != "*" {
			t.Errorf("the monitor reaches port %d; the server listens at %q", number, setting(server, "METRICS_HOST"))
		}
		for _, p := range o.policies {
			if !selects(p.Spec.PodSelector.MatchLabels) {
				continue
			}
			open := false
			for _, rule := range p.Spec.Ingress {
				for _, allowed := range rule.Ports {
					open = open || port(server, *allowed.Port) == number && len(rule.From) > 0
				}
			}
			if !open {
				t.Errorf("the network policy keeps Prometheus out")
			}
		}
	}
	for _, b := range o.budgets {
		if !selects(b.Spec.Selector.MatchLabels) {
			t.Errorf("the budget selects no pod")
		}
	}
	for _, i := range o.ingresses {
		backend := i.Spec.Rules[0].HTTP.Paths[0].Backend.Service
		s, ok := byName[backend.Name]
		if !ok || !selects(s.Spec.Selector) || s.Spec.Ports[0].Name != backend.Port.Name || port(server, s.Spec.Ports[0].TargetPort) != 8080 {
			t.Errorf("the ingress does not reach the server: %+v", s.Spec)
		}
	}
	for _, set := range o.sets {
		if !labels.SelectorFromSet(set.Spec.Selector.MatchLabels).Matches(labels.Set(set.Spec.Template.Labels)) {
			t.Errorf("%s does not select its pods", set.Name)
		}
		s, ok := byName[set.Spec.ServiceName]
		if !ok || !labels.SelectorFromSet(s.Spec.Selector).Matches(labels.Set(set.Spec.Template.Labels)) || selects(s.Spec.Selector) {
			t.Errorf("the service of %s selects others", set.Name)
		}
		if url := setting(server, "DATABASE_URL") + setting(server, "REDIS_URL"); !strings.Contains(set.Name, "replica") &&
			!strings.Contains(url, "@"+set.Spec.ServiceName+":") {
			t.Errorf("the server does not ask %s but %s", set.Spec.ServiceName, url)
		}
	}
	walkPolicies(t, o, pod.Labels)
	for _, h := range o.scalers {
		if h.Spec.ScaleTargetRef.Name != o.deployments[0].Name {
			t.Errorf("the autoscaler scales %s", h.Spec.ScaleTargetRef.Name)
		}
	}
}

// walkPolicies checks that a policy for the pods of a part lets the server in, and that each policy
// is for some pods.
func walkPolicies(t *testing.T, o *objects, server map[string]string) {
	t.Helper()
	for _, p := range o.policies {
		selector := labels.SelectorFromSet(p.Spec.PodSelector.MatchLabels)
		found := selector.Matches(labels.Set(server))
		for _, set := range o.sets {
			if !selector.Matches(labels.Set(set.Spec.Template.Labels)) {
				continue
			}
			found = true
			rule := p.Spec.Ingress[0]
			if port(set.Spec.Template.Spec.Containers[0], *rule.Ports[0].Port) == 0 ||
				!labels.SelectorFromSet(rule.From[0].PodSelector.MatchLabels).Matches(labels.Set(server)) {
				t.Errorf("the network policy %s keeps the server out", p.Name)
			}
		}
		if !found {
			t.Errorf("the network policy %s is for no pod", p.Name)
		}
	}
}

// checkPod checks what every pod of the server has.
func checkPod(t *testing.T, pod core.PodTemplateSpec) {
	t.Helper()
	s, c := pod.Spec, pod.Spec.Containers[0]
	if s.EnableServiceLinks == nil || *s.EnableServiceLinks || s.AutomountServiceAccountToken == nil || *s.AutomountServiceAccountToken {
		t.Error("the pod gets what it does not need from Kubernetes")
	}
	if c.LivenessProbe.HTTPGet.Path != "/livez" || c.StartupProbe.HTTPGet.Path != "/livez" || c.ReadinessProbe.HTTPGet.Path != "/readyz" {
		t.Error("a probe asks the wrong question")
	}
	if c.Lifecycle != nil {
		t.Error("the image has no shell for a hook")
	}
	if !*c.SecurityContext.ReadOnlyRootFilesystem || !*s.SecurityContext.RunAsNonRoot || *c.SecurityContext.AllowPrivilegeEscalation ||
		c.SecurityContext.Capabilities.Drop[0] != "ALL" {
		t.Error("the pod may do more than it must")
	}
	if *s.TerminationGracePeriodSeconds < 10+20+5 || setting(c, "DRAIN_DELAY") != "10" {
		t.Errorf("a stop may take %d seconds, and drains for %q", *s.TerminationGracePeriodSeconds, setting(c, "DRAIN_DELAY"))
	}
}

func TestSelectors(t *testing.T) {
	chart, err := render(t, seed(t))
	if err != nil {
		t.Fatal(err)
	}
	if len(chart.monitors) != 1 || len(chart.policies) != 1 || chart.monitors[0].Labels["release"] != "stack" {
		t.Fatalf("%d monitors, %d policies", len(chart.monitors), len(chart.policies))
	}
	walk(t, chart)
	plain := plainObjects(t)
	if len(plain.deployments) != 1 || *plain.deployments[0].Spec.Replicas != 3 {
		t.Fatalf("%d deployments", len(plain.deployments))
	}
	if len(plain.monitors) != 1 || len(plain.policies) != 2 || len(plain.scalers) != 1 || len(plain.budgets) != 1 {
		t.Errorf("%d monitors, %d policies, %d autoscalers, %d budgets", len(plain.monitors), len(plain.policies),
			len(plain.scalers), len(plain.budgets))
	}
	walk(t, plain)
}

// The command of the guide renders what it promises: three servers behind an ingress, on
// PostgreSQL.
func TestGuide(t *testing.T) {
	raw, err := os.ReadFile("../../docs/guides/production.md")
	if err != nil {
		t.Fatal(err)
	}
	command := regexp.MustCompile(`(?s)helm install auth deploy/helm/gatehouse .*?[^\\]\n`).FindString(string(raw))
	v := map[string]any{}
	for _, m := range regexp.MustCompile(`--set '?([^' \n]+)'?`).FindAllStringSubmatch(command, -1) {
		if err := strvals.ParseInto(m[1], v); err != nil {
			t.Fatal(err)
		}
	}
	if len(v) < 4 {
		t.Fatalf("the guide sets %v in %q", v, command)
	}
	o, err := render(t, v)
	if err != nil {
		t.Fatal(err)
	}
	walk(t, o)
	if d := o.deployments[0]; *d.Spec.Replicas != 3 || d.Name != "auth-gatehouse" {
		t.Errorf("%s with %d replicas", d.Name, *d.Spec.Replicas)
	}
	if len(o.ingresses) != 1 || o.ingresses[0].Spec.Rules[0].Host != "id.example.com" || len(o.sets) != 1 {
		t.Errorf("%+v, %d sets", o.ingresses, len(o.sets))
	}
	if got := setting(o.deployments[0].Spec.Template.Spec.Containers[0], "TRUSTED_PROXIES"); got != "10.42.0.0/16" {
		t.Errorf("TRUSTED_PROXIES is %q", got)
	}
}
