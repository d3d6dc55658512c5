"""Where a server listens: a port that is free, an address that is safe."""

from __future__ import annotations

import errno
import ipaddress
import socket

from adapterbot.errors import SettingError

PORTS = 100  # how many to try when none was asked for


def listen(host: str, port: int | None, first: int) -> socket.socket:
    """A listening socket on `port`, or, when none was asked for, on the first free one from `first` on.

    Raises:
        SettingError: the port asked for is taken or is none, or `host` is no address of this machine.
    """
    if port is not None and not 0 <= port <= 65535:
        raise SettingError(f"there is no port {port}; ports go from 0 (any free one) to 65535")
    for candidate in range(first, first + PORTS) if port is None else (port,):
        try:
            return socket.create_server((host, candidate), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise SettingError(f"cannot listen on {host}:{candidate}: {error.strerror or error}") from None
    if port is None:
        raise SettingError(f"the ports {first} to {first + PORTS - 1} on {host} are all taken; free one or give --port")
    raise SettingError(f"port {port} on {host} is taken; give another --port, or none for the first free one")


def is_local(host: str) -> bool:
    """Whether only this machine reaches `host`."""
    return host == "localhost" or (is_address(host) and ipaddress.ip_address(host).is_loopback)


def is_address(host: str) -> bool:
    """Whether `host` is an IP address and no name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
