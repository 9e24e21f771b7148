"""The server around a `Service`: where it listens, and how it begins and ends."""

import asyncio
import ipaddress
import os
import socket
from dataclasses import dataclass
from functools import partial

import uvicorn

from harness.data import limited
from harness.errors import StoreError, UsageError
from harness.inference.web.app import application
from harness.inference.web.guard import host_needed
from harness.inference.web.limits import Limits
from harness.inference.web.protocol import Connection
from harness.inference.web.service import Service

HOST = "127.0.0.1"
SHORTEST_TOKEN = 16
GRACE_SECONDS = 5  # for what is being answered when it ends
BACKLOG = 256
HOW = (
    'python -c "import secrets; print(secrets.token_urlsafe())" > token.txt writes one, and '
    "--token-file token.txt has it asked for"
)


@dataclass(frozen=True, eq=False)
class Listening:
    """Where a server will be asked, from now on.   token: what requests must bring; empty: none."""

    socket: socket.socket
    host: str
    token: str

    @property
    def port(self) -> int:
        return int(self.socket.getsockname()[1])

    @property
    def url(self) -> str:
        return f"http://{self._name}:{self.port}"

    @property
    def hosts(self) -> set[str] | None:
        """The values of Host that are answered; None where a token says who may ask."""
        names = (self._name, HOST, "localhost")
        return None if self.token else {f"{name}:{self.port}" for name in names}

    @property
    def _name(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host


def listen(port: int, *, host: str = HOST, token: str = "") -> Listening:
    """Port 0 takes a free one. host: beyond this machine only with a token.

    Raises StoreError for a port in use, UsageError for a host that is none or needs a token, and for a short token.
    """
    address = _address(host)
    if token and len(token) < SHORTEST_TOKEN:
        raise UsageError(f"a token has at least {SHORTEST_TOKEN} characters; {HOW}")
    if not token and not ipaddress.ip_address(address.partition("%")[0]).is_loopback:
        raise UsageError(f"--host {host}: others than this machine are answered with a token only: {HOW}")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        listening = socket.create_server((address, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise StoreError(
            f"port {port} of {host} cannot be used: {os.strerror(error.errno or 0)}; try --port 0"
        ) from None
    return Listening(listening, host, token)


class Server:
    """A server for one `Service`."""

    def __init__(self, service: Service, listening: Listening, limits: Limits | None = None):
        limits, hosts = limits or Limits(), listening.hosts
        self._socket = listening.socket
        config = uvicorn.Config(
            application(service, limits, hosts=hosts, token=listening.token),
            http=partial(Connection, limits=limits, host_needed=host_needed(hosts)),  # type: ignore[arg-type]
            loop="asyncio", ws="none", lifespan="off", log_config=None, log_level="critical", access_log=False,
            h11_max_incomplete_event_size=limits.head_bytes + 1, server_header=False, backlog=BACKLOG,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )  # fmt: skip
        self._server = uvicorn.Server(config)

    def serve(self) -> None:
        """Until it is told to end: by `end`, SIGTERM or Ctrl-C, which then do what they would have done.

        A signal waits from here on, not only once uvicorn listens: it would tear down a loop that is half made.
        """
        try:
            with self._server.capture_signals():
                asyncio.run(self._server.serve(sockets=[self._socket]))
        finally:
            limited.end_all()

    def end(self) -> None:
        self._server.should_exit = True


def _address(host: str) -> str:
    try:
        return str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])
    except (OSError, UnicodeError) as error:
        raise UsageError(f"--host {host}: {getattr(error, 'strerror', None) or 'is no host name'}") from None
