"""A Compose file for the image of the Dockerfile: cores, memory, and time to stop."""

from __future__ import annotations

import json

from honed.serve.deploy.base import Deployment

HELP = "a Compose service with its cores and memory"
FILE = "compose.yaml"


def write(of: Deployment) -> str:
    cores = "0" if of.cores == 1 else f"0-{of.cores - 1}"
    memory = "" if of.memory_mib is None else f"    mem_limit: {of.memory_mib}m\n"
    return f"""\
# docker compose up; the image is built from the file of `honed deploy dockerfile`
services:
  honed:
    build: .
    ports: ["{of.port}:{of.port}"]
    volumes: {json.dumps([f"{host}:{inside}:ro" for host, inside in of.mounts.items()])}
    cpuset: "{cores}"
{memory}\
    stop_grace_period: {of.stop_s}s
    restart: unless-stopped
"""
