{{- define "wgtwo.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "wgtwo.labels" -}}
app.kubernetes.io/name: wgtwo-pipeline
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* What all our containers are: nothing is written but to /tmp, nothing may be gained. */}}
{{- define "wgtwo.container" -}}
image: {{ include "wgtwo.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
env:
  - {name: WGTWO_CONFIG, value: /etc/wgtwo/pipeline.toml}
{{- with .Values.existingSecret }}
envFrom:
  - secretRef: {name: {{ . }}}
{{- end }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
volumeMounts:
  - {name: config, mountPath: /etc/wgtwo, readOnly: true}
  - {name: tmp, mountPath: /tmp}
{{- end }}

{{- define "wgtwo.pod" -}}
serviceAccountName: {{ .Release.Name }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
volumes:
  - name: config
    configMap: {name: {{ .Release.Name }}}
  - name: tmp
    emptyDir: {medium: Memory, sizeLimit: 256Mi}
{{- end }}

{{/* A command that ends, on a schedule: name, job (schedule, resources), args, deadline in seconds. */}}
{{- define "wgtwo.cronjob" -}}
apiVersion: batch/v1
kind: CronJob
metadata:
  name: {{ .root.Release.Name }}-{{ .name }}
  labels:
    {{- include "wgtwo.labels" .root | nindent 4 }}
    app.kubernetes.io/component: {{ .name }}
spec:
  schedule: {{ .job.schedule | quote }}
  concurrencyPolicy: Forbid
  startingDeadlineSeconds: 300
  successfulJobsHistoryLimit: 1
  failedJobsHistoryLimit: 3
  jobTemplate:
    spec:
      backoffLimit: 1
      activeDeadlineSeconds: {{ .deadline }}
      template:
        metadata:
          labels:
            {{- include "wgtwo.labels" .root | nindent 12 }}
            app.kubernetes.io/component: {{ .name }}
        spec:
          restartPolicy: Never
          terminationGracePeriodSeconds: 60
          {{- include "wgtwo.pod" .root | nindent 10 }}
          containers:
            - name: {{ .name }}
              args: {{ toJson .args }}
              resources: {{ toJson .job.resources }}
              {{- include "wgtwo.container" .root | nindent 14 }}
{{- end }}
