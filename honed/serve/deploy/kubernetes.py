"""A Kubernetes Deployment and Service, with exclusive cores where the kubelet gives them.

The kubelet gives exclusive cores with `cpuManagerPolicy: static`, to containers whose requests
equal their limits in whole CPUs.
"""

from __future__ import annotations

import json

from honed.serve.deploy.base import Deployment

HELP = "a Deployment and a Service with probes; whole CPUs, for the static CPU policy"
FILE = "honed.yaml"
_PRE_STOP_S = 5  # endpoints are taken out while the container still serves


def write(of: Deployment) -> str:
    memory = (
        f"{of.memory_mib}Mi" if of.memory_mib is not None else "2Gi  # not measured: honed run"
    )
    names = [(f"files-{place}", host, at) for place, (host, at) in enumerate(of.mounts.items())]
    mounts = [{"name": name, "mountPath": at, "readOnly": True} for name, _, at in names]
    volumes = [{"name": name, "hostPath": {"path": host}} for name, host, _ in names]
    return f"""\
# kubectl apply -f {FILE}; the image is built from the file of `honed deploy dockerfile`
apiVersion: apps/v1
kind: Deployment
metadata:
  name: honed
spec:
  replicas: 1
  selector:
    matchLabels: {{app: honed}}
  template:
    metadata:
      labels: {{app: honed}}
    spec:
      terminationGracePeriodSeconds: {of.stop_s + _PRE_STOP_S}
      containers:
        - name: honed
          image: honed-serve
          command: {json.dumps(list(of.in_container))}
          ports: [{{containerPort: {of.port}}}]
          resources:
            requests: &all
              cpu: "{of.cores}"
              memory: {memory}
            limits: *all
          startupProbe:
            httpGet: {{path: /health, port: {of.port}}}
            periodSeconds: 2
            failureThreshold: {of.start_s // 2}
          readinessProbe:
            httpGet: {{path: /v2/health/ready, port: {of.port}}}
            periodSeconds: 3
          livenessProbe:
            httpGet: {{path: /v2/health/live, port: {of.port}}}
            periodSeconds: 10
            timeoutSeconds: 10
            failureThreshold: 6
          lifecycle:
            preStop:
              sleep: {{seconds: {_PRE_STOP_S}}}
          volumeMounts: {json.dumps(mounts)}
      volumes: {json.dumps(volumes)}
---
apiVersion: v1
kind: Service
metadata:
  name: honed
spec:
  selector: {{app: honed}}
  ports: [{{port: 80, targetPort: {of.port}}}]
"""
