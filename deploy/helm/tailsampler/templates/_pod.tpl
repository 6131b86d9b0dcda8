{{/*
What the pods of agent, worker and exporter have in common. Each takes a dict: root (the chart's scope), component (the
name of the command), values (the block of the component), and for the container: args, ports, mounts.
*/}}

{{- define "tailsampler.pod.metadata" -}}
labels:
  {{- include "tailsampler.labels" .root | nindent 2 }}
  app.kubernetes.io/component: {{ .component }}
  {{- with .values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
annotations:
  # Policies are read again while the process runs; config.yaml needs a restart.
  checksum/config: {{ include "tailsampler.config" .root | sha256sum }}
  {{- with .values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- define "tailsampler.pod.common" -}}
serviceAccountName: {{ include "tailsampler.serviceAccount" .root }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml .root.Values.podSecurityContext | nindent 2 }}
terminationGracePeriodSeconds: {{ .values.terminationGracePeriodSeconds }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "tailsampler.pod.spread" -}}
{{- with .root.Values.topologySpread }}
{{- if .enabled }}
topologySpreadConstraints:
  {{- range list .zoneKey "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: {{ if eq . $.root.Values.topologySpread.zoneKey }}{{ $.root.Values.topologySpread.whenUnsatisfiable }}{{ else }}ScheduleAnyway{{ end }}
    labelSelector:
      matchLabels:
        {{- include "tailsampler.selector" $.root | nindent 8 }}
        app.kubernetes.io/component: {{ $.component }}
  {{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* How the kubelet reaches a path: with TLS where config.web.tls is set. */}}
{{- define "tailsampler.probe" -}}
{path: {{ .path }}, port: web{{ if dig "web" "tls" false .root.Values.config }}, scheme: HTTPS{{ end }}}
{{- end }}

{{- define "tailsampler.container" -}}
- name: {{ .component }}
  image: {{ include "tailsampler.image" .root }}
  imagePullPolicy: {{ .root.Values.image.pullPolicy }}
  command: [tailsampler, {{ .component }}]
  args:
    - --config=/etc/tailsampler/config/config.yaml
    {{- range concat .args .values.extraArgs }}
    - {{ . | quote }}
    {{- end }}
  env:
    {{- range $name, $path := dict "POD_NAME" "metadata.name" "POD_NAMESPACE" "metadata.namespace" "NODE_NAME" "spec.nodeName" }}
    - name: {{ $name }}
      valueFrom: {fieldRef: {fieldPath: {{ $path }}}}
    {{- end }}
    {{- with concat .root.Values.env .values.env }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .root.Values.envFrom }}
  envFrom:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  ports:
    {{- $web := dict "name" "web" "containerPort" .root.Values.ports.web "protocol" "TCP" }}
    {{- append .ports $web | toYaml | nindent 4 }}
  # A process answers /livez from its start on; until Kafka can be reached it may end and be started again.
  startupProbe:
    httpGet: {{ include "tailsampler.probe" (dict "root" .root "path" "/livez") }}
    periodSeconds: 2
    failureThreshold: 60
  livenessProbe:
    httpGet: {{ include "tailsampler.probe" (dict "root" .root "path" "/livez") }}
    periodSeconds: 10
    timeoutSeconds: 5
    failureThreshold: 3
  readinessProbe:
    httpGet: {{ include "tailsampler.probe" (dict "root" .root "path" "/readyz") }}
    periodSeconds: 5
    timeoutSeconds: 5
    failureThreshold: 2
  {{- if .pauseBeforeStop }}
  lifecycle:
    # Until every node knows that this pod takes no more requests.
    preStop: {exec: {command: [sleep, "5"]}}
  {{- end }}
  resources:
    {{- toYaml .values.resources | nindent 4 }}
  securityContext:
    {{- toYaml .root.Values.securityContext | nindent 4 }}
  volumeMounts:
    # Folders, not single files: those would not be renewed when the ConfigMap changes.
    - {name: config, mountPath: /etc/tailsampler/config, readOnly: true}
    - {name: tmp, mountPath: /tmp}
    {{- with concat .mounts .root.Values.volumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}

{{- define "tailsampler.volumes" -}}
- name: config
  configMap: {name: {{ include "tailsampler.fullname" .root }}-config}
- name: tmp
  emptyDir: {sizeLimit: 64Mi}
{{- with .root.Values.volumes }}
{{ toYaml . }}
{{- end }}
{{- end }}
