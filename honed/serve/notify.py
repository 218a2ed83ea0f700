"""What systemd wants to know: ready, stopping, alive. Datagrams to the socket that it names."""

from __future__ import annotations

import contextlib
import os
import socket

_SOCKET, _WATCHDOG = "NOTIFY_SOCKET", "WATCHDOG_USEC"


def tell(message: str) -> None:
    """Send `READY=1` or the like; nothing where no systemd listens (sd_notify(3))."""
    address = os.environ.get(_SOCKET, "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]  # an abstract socket
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.sendto(message.encode(), address)


def watchdog_s() -> float | None:
    """How often to tell that the server lives: half of what systemd waits for."""
    text = os.environ.get(_WATCHDOG, "")
    return int(text) / 2e6 if text.isdigit() and int(text) else None
