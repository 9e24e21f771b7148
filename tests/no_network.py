"""Keeps the tests of this process on this machine: whatever looks up or reaches another one is refused, and told."""

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

attempts: list[str] = []  # since the last look; a test that swallows the error fails by these


class NetworkError(OSError):
    """A test has tried to leave this machine."""


def forbid() -> None:
    """For the rest of this process."""
    for name in ("connect", "connect_ex"):
        setattr(socket.socket, name, _guarded_method(getattr(socket.socket, name)))
    for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "gethostbyaddr"):
        setattr(socket, name, _guarded_lookup(getattr(socket, name)))


def is_here(host: object) -> bool:
    """Whether a host is this machine, without asking anybody."""
    if isinstance(host, bytes):
        host = host.decode(errors="replace")
    if host in (None, "", "localhost", "0.0.0.0", "::", socket.gethostname()):
        return True
    try:
        address = ip_address(str(host).partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or (not address.is_multicast and _is_own(address))


def _is_own(address: IPv4Address | IPv6Address) -> bool:
    """Whether an interface of this machine has it, as Ray's nodes use; nobody can bind another's."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True


def _refuse(host: object) -> None:
    if not is_here(host):
        attempts.append(str(host))
        raise NetworkError(f"a test may not reach {host}")


def _guarded_method(original: Any) -> Any:
    def method(self: socket.socket, address: Any) -> Any:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            _refuse(address[0])
        return original(self, address)

    return method


def _guarded_lookup(original: Any) -> Any:
    def lookup(host: Any, *arguments: Any, **options: Any) -> Any:
        _refuse(host)
        return original(host, *arguments, **options)

    return lookup
