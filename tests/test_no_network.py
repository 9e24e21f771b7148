"""No test reaches another machine, not even one that swallows the error."""

import socket
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

import pytest

from tests import no_network


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.9.9.9", "localhost", "::1", "", None, b"localhost", "0.0.0.0"]
)
def test_this_machine_is_here(host: object) -> None:
    assert no_network.is_here(host)


@pytest.mark.parametrize(
    "host", ["192.0.2.1", "2001:db8::1", "example.org", "localhost.example.org", "10.0.0.1"]
)
def test_every_way_to_another_machine_is_refused_and_told(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as connection:
        for leave in (
            lambda: connection.connect((host, 80)),
            lambda: connection.connect_ex((host, 80)),
            lambda: socket.create_connection((host, 80), timeout=1),
            lambda: socket.getaddrinfo(host, 80),
            lambda: socket.gethostbyname(host),
        ):
            with pytest.raises(no_network.NetworkError, match="may not reach"):
                leave()
            assert no_network.attempts.pop() == host and not no_network.attempts
    with pytest.raises(URLError, match="may not reach"):
        build_opener(ProxyHandler({})).open(
            f"http://[{host}]" if ":" in host else f"http://{host}", timeout=1
        )
    assert no_network.attempts.pop() == host


def test_this_machine_can_be_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(("localhost", server.getsockname()[1]), timeout=1).close()
