"""What every request passes first: who may ask at all, which headers every answer has, and what is counted.

An ASGI application around another one.
"""

import asyncio
import base64
import binascii
import hmac
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Set
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from harness.inference.web.metrics import Metrics
from harness.inference.web.refusal import HEADERS, Refusal

LINGER_SECONDS = 2.0  # for a body that is refused, which must be read or the refusal gets lost
ASK_AGAIN = {"WWW-Authenticate": 'Basic realm="harness: any name, and the token as password", Bearer'}
WITHOUT_TOKEN = "/health"

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


class Guard:
    """hosts: names and ports that this server is called by; None where a token says who may ask.

    token: which requests must bring; empty: none.   paths: that are counted by their name.
    """

    def __init__(
        self,
        application: Application,
        *,
        hosts: Set[str] | None,
        token: str,
        metrics: Metrics,
        paths: Set[str],
    ):
        self._application, self._hosts, self._token = application, hosts, token
        self._metrics, self._paths = metrics, paths

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        began, answer = time.monotonic(), _Answer(receive, send)
        self._metrics.begin()
        try:
            self._admit(scope)
            method = "GET" if scope["method"] == "HEAD" else scope["method"]  # uvicorn leaves the body out
            await self._application({**scope, "method": method}, answer.receive, answer.send)
        except Refusal as refusal:
            await refusal.response()(scope, answer.receive, answer.send)
        except Exception:  # which the application has answered, and says again
            if not answer.status:
                raise
        finally:
            path = scope["path"] if scope["path"] in self._paths else "other"
            self._metrics.end(path, answer.status, time.monotonic() - began)

    def _admit(self, scope: MutableMapping[str, Any]) -> None:
        """Only who knows this server by its name, or its token; from its own pages or from none."""
        if scope["http_version"] not in ("1.0", "1.1"):
            raise Refusal(HTTPStatus.BAD_REQUEST, "HTTP 1.1 is understood here")
        hosts = [host.lower() for host in _values(scope, b"host")]
        if len(hosts) != 1 or (self._hosts is not None and hosts[0] not in self._hosts):
            raise Refusal(HTTPStatus.FORBIDDEN, host_needed(self._hosts))
        origins = {f"{scheme}://{host}" for scheme in ("http", "https") for host in self._hosts or hosts}
        if any(origin not in origins for origin in _values(scope, b"origin")):
            raise Refusal(HTTPStatus.FORBIDDEN, "pages of other origins are not answered")
        sites = {*_values(scope, b"sec-fetch-site")} - {"none", "same-origin"}
        if sites and scope["path"] != "/":
            raise Refusal(HTTPStatus.FORBIDDEN, "pages of other sites are not answered")
        scope["state"]["is_known"] = not self._token or any(
            hmac.compare_digest(given, self._token.encode())
            for given in _tokens(_values(scope, b"authorization"))
        )
        if not scope["state"]["is_known"] and scope["path"] != WITHOUT_TOKEN:
            raise Refusal(HTTPStatus.UNAUTHORIZED, "a token is needed, and this is not it", headers=ASK_AGAIN)


class _Answer:
    """The answer to one request, with the headers that all have.   status: 0 until it begins."""

    def __init__(self, receive: Receive, send: Send):
        self._receive, self._send = receive, send
        self.status, self._is_read = 0, False

    async def receive(self) -> Message:
        message = await self._receive()
        self._is_read = not (message["type"] == "http.request" and message.get("more_body"))
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            own = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
            message = {**message, "headers": [*message.get("headers", []), *own]}
        elif self.status >= HTTPStatus.BAD_REQUEST and not message.get("more_body"):
            await self._send({**message, "more_body": True})
            message = {**message, "body": b""}
            with suppress(TimeoutError):
                async with asyncio.timeout(LINGER_SECONDS):
                    while not self._is_read:
                        await self.receive()
        await self._send(message)


def host_needed(hosts: Set[str] | None) -> str:
    return f"Host must be {min(hosts)}" if hosts else "there must be one Host"


def _values(scope: MutableMapping[str, Any], name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def _tokens(values: Iterable[str]) -> list[bytes]:
    """Those of Authorization headers: `Bearer TOKEN`, or `Basic` with the token as the password."""
    found = []
    for value in values:
        kind, _, given = value.strip().partition(" ")
        if kind.lower() == "bearer":
            found.append(given.strip().encode())
        elif kind.lower() == "basic":
            try:
                found.append(base64.b64decode(given, validate=True).partition(b":")[2])
            except binascii.Error:
                continue
    return found
