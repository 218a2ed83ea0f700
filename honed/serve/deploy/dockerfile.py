"""A Dockerfile: Debian's slim Python, another user than root, the model mounted at /model."""

from __future__ import annotations

import json
import shlex

from honed.serve.deploy.base import Deployment

HELP = "an image of the server; the model is mounted at /model"
FILE = "Dockerfile"


def write(of: Deployment) -> str:
    extras = ",".join(dict.fromkeys(["serve", of.extra]))
    health = (
        f"import urllib.request as r; r.urlopen('http://127.0.0.1:{of.port}/health', timeout=2)"
    )
    mounts = " ".join(f"-v {shlex.quote(f'{host}:{at}:ro')}" for host, at in of.mounts.items())
    return f"""\
# docker build -t honed-serve .
# docker run -p {of.port}:{of.port} {mounts} honed-serve
FROM python:3.11-slim
RUN apt-get update && apt-get install -y --no-install-recommends libgomp1 libjemalloc2 \\
    && rm -rf /var/lib/apt/lists/*
RUN pip install --no-cache-dir 'honed[{extras}]=={of.version}'
RUN useradd --create-home honed
USER honed
ENV HF_HUB_OFFLINE=1 HONED_CACHE=/home/honed/cache
EXPOSE {of.port}
# A shell would not pass SIGTERM on, so the command is a list.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period={of.start_s}s \\
    CMD ["python", "-c", {json.dumps(health)}]
ENTRYPOINT {json.dumps(list(of.in_container))}
"""
