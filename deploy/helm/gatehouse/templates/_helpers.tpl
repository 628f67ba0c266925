{{- define "gatehouse.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 53 | trimSuffix "-" -}}
{{- end -}}

{{- define "gatehouse.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 53 | trimSuffix "-" -}}
{{- else if contains (include "gatehouse.name" .) .Release.Name -}}
{{- .Release.Name | trunc 53 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "gatehouse.name" .) | trunc 53 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* The labels of one part: list of the root and the name of the part. */}}
{{- define "gatehouse.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ include "gatehouse.name" $root }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "gatehouse.labels" -}}
{{ include "gatehouse.selector" . }}
{{- $root := index . 0 }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version }}
{{- end -}}

{{/* sqlite, internal or external. */}}
{{- define "gatehouse.database" -}}
{{- if and .Values.postgresql.enabled .Values.externalDatabase.host -}}
{{- fail "postgresql.enabled and externalDatabase.host are both set; keep one of them" -}}
{{- end -}}
{{- if .Values.postgresql.enabled -}}internal{{- else if .Values.externalDatabase.host -}}external{{- else -}}sqlite{{- end -}}
{{- end -}}

{{- define "gatehouse.baseURL" -}}
{{- if .Values.baseURL -}}
{{- .Values.baseURL -}}
{{- else if and .Values.ingress.enabled .Values.ingress.hosts -}}
https://{{ (index .Values.ingress.hosts 0).host }}
{{- else -}}
{{- fail "set baseURL to the https address that people and clients use, such as https://id.example.com, or enable the ingress with a host" -}}
{{- end -}}
{{- end -}}

{{/* How many replicas there are at least. */}}
{{- define "gatehouse.replicas" -}}
{{- if .Values.autoscaling.enabled -}}{{ .Values.autoscaling.minReplicas }}{{- else -}}{{ .Values.replicaCount }}{{- end -}}
{{- end -}}

{{- define "gatehouse.secretName" -}}
{{- default (printf "%s-key" (include "gatehouse.fullname" .)) .Values.existingSecret -}}
{{- end -}}

{{/* A password of the chart that stays the same: list of the root, the Secret and its key. */}}
{{- define "gatehouse.keep" -}}
{{- $root := index . 0 -}}
{{- $old := lookup "v1" "Secret" $root.Release.Namespace (index . 1) -}}
{{- if and $old $old.data (index $old.data (index . 2)) -}}
{{- index $old.data (index . 2) -}}
{{- else -}}
{{- randAlphaNum 48 | b64enc -}}
{{- end -}}
{{- end -}}

{{- define "gatehouse.check" -}}
{{- if eq (include "gatehouse.database" .) "sqlite" -}}
{{- if .Values.autoscaling.enabled -}}
{{- fail "autoscaling needs PostgreSQL: an SQLite database has one server; set postgresql.enabled or externalDatabase.host" -}}
{{- end -}}
{{- if gt (int .Values.replicaCount) 1 -}}
{{- fail "replicaCount is more than 1, but an SQLite database has one server; set postgresql.enabled or externalDatabase.host" -}}
{{- end -}}
{{- end -}}
{{- if and (eq (include "gatehouse.database" .) "external") (not .Values.externalDatabase.existingSecret) -}}
{{- fail "externalDatabase.existingSecret is missing: the name of a Secret with the key password" -}}
{{- end -}}
{{- if and .Values.serviceMonitor.enabled (not .Values.metrics.enabled) -}}
{{- fail "serviceMonitor.enabled needs metrics.enabled" -}}
{{- end -}}
{{- if and .Values.redis.enabled .Values.externalRedis.existingSecret -}}
{{- fail "redis.enabled and externalRedis.existingSecret are both set; keep one of them" -}}
{{- end -}}
{{- end -}}
