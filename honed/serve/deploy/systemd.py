"""A systemd unit: ready when the workers are proven, watched, stopped with time to answer."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from honed.serve.deploy.base import Deployment

HELP = "a systemd unit that waits for readiness and has a watchdog"
FILE = "honed.service"


def write(of: Deployment) -> str:
    command = list(of.on_host)
    command[0] = str(Path(sys.executable).with_name("honed"))
    cores = "0" if of.cores == 1 else f"0-{of.cores - 1}"
    memory = "" if of.memory_mib is None else f"MemoryMax={of.memory_mib}M\n"
    line = " ".join(shlex.quote(word) for word in command).replace("%", "%%")
    return f"""\
# install as /etc/systemd/system/{FILE}, then: systemctl enable --now honed
[Unit]
Description=honed serve
After=network-online.target
Wants=network-online.target

[Service]
Type=notify
NotifyAccess=main
ExecStart={line}
DynamicUser=yes
CacheDirectory=honed
Environment=HONED_CACHE=/var/cache/honed HF_HUB_OFFLINE=1
AllowedCPUs={cores}
{memory}\
TimeoutStartSec={of.start_s}
TimeoutStopSec={of.stop_s}
WatchdogSec=30
# The front stops its workers itself. A worker that is killed for memory is started again by it.
KillMode=mixed
OOMPolicy=continue
Restart=on-failure
LimitNOFILE=65536

[Install]
WantedBy=multi-user.target
"""
