{{/* Names, labels and the two files that the processes read. */}}

{{- define "tailsampler.name" -}}
{{ default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "tailsampler.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "tailsampler.name" .) .Release.Name -}}
{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name (include "tailsampler.name" .) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "tailsampler.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ default (include "tailsampler.fullname" .) .Values.serviceAccount.name }}
{{- else -}}
{{ default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* What selects the pods of the release. */}}
{{- define "tailsampler.selector" -}}
app.kubernetes.io/name: {{ include "tailsampler.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "tailsampler.labels" -}}
{{ include "tailsampler.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "tailsampler.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end }}
{{- end }}

{{/* config.yaml: that of the values, and over it what only the chart can know. */}}
{{- define "tailsampler.config" -}}
{{- $listen := .Values.listenAddress }}
{{- $agent := dict
      "grpc" (dict "endpoint" (printf "%s:%v" $listen .Values.ports.grpc))
      "http" (dict "endpoint" (printf "%s:%v" $listen .Values.ports.http)) }}
{{- $worker := dict "data_dir" "/var/lib/tailsampler" "group_instance_id" "${env:POD_NAME}" }}
{{- $web := dict "endpoint" (printf "%s:%v" $listen .Values.ports.web) }}
{{- $own := dict "agent" $agent "worker" $worker "web" $web }}
{{- mustMergeOverwrite (deepCopy .Values.config) $own | toYaml }}
{{- end }}

{{- define "tailsampler.policiesConfigMap" -}}
{{ default (printf "%s-policies" (include "tailsampler.fullname" .)) .Values.existingPolicies }}
{{- end }}

{{/* The span topic and the workers' group, as the configuration names them. */}}
{{- define "tailsampler.kafka.group" -}}
{{ dig "kafka" "group_id" "tailsampler" .Values.config }}
{{- end }}
{{- define "tailsampler.kafka.spans" -}}
{{ dig "kafka" "topics" "spans" "otlp_spans" .Values.config }}
{{- end }}
{{- define "tailsampler.kafka.brokers" -}}
{{- $brokers := dig "kafka" "brokers" (list "localhost:9092") .Values.config }}
{{- if kindIs "string" $brokers }}{{ $brokers }}{{ else }}{{ join "," $brokers }}{{ end }}
{{- end }}
