// The Helm chart and the manifests, checked with Helm's own code and the types of Kubernetes. A module of
// its own, so that the program has none of these dependencies.
module github.com/gatehouse-id/gatehouse/conformance/chart

go 1.26.0

require (
	github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring v0.95.2 // indirect
	helm.sh/helm/v3 v3.22.0 // indirect
)
