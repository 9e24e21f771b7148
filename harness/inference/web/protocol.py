"""One connection: uvicorn's, with limits of time and number, and with JSON for what is no HTTP.

A connection ends with its answer.
"""

import asyncio
import re
import sys
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from harness.inference.web.guard import LINGER_SECONDS
from harness.inference.web.limits import Limits
from harness.inference.web.refusal import HEADERS, Refusal

HEAD_END = b"\r\n\r\n"
LONG_NUMBER = re.compile(rb"^content-length:\s*\d{19,}\s*$", re.IGNORECASE | re.MULTILINE)


class Connection(H11Protocol):
    """host_needed: what is said to requests without a Host."""

    def __init__(self, *arguments: Any, limits: Limits, host_needed: str, **options: Any):
        super().__init__(*arguments, **options)
        self._limits, self._host_needed = limits, host_needed
        self._head, self._is_refused = b"", False
        self._timer: asyncio.TimerHandle | None = None
        self.cycle: RequestResponseCycle | None  # type: ignore[assignment]  # None before the head is complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self._limits.connections:
            self._refuse(Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections", retry_seconds=1))
        else:
            self._after(self._limits.receive_seconds, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        if self.cycle is None:
            self._head += data
            head = self._head.partition(HEAD_END)[0]
            if len(head) > self._limits.head_bytes or head.count(b"\n") > self._limits.head_lines:
                is_target = b"\n" not in head[: self._limits.head_bytes]
                status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
                self._refuse(
                    Refusal(HTTPStatus.REQUEST_URI_TOO_LONG if is_target else status, "too long a head")
                )
                return
        super().data_received(data)
        if self.cycle is not None and self._head and not self._is_refused:
            self._head = b""
            if self._timer is not None:  # from now on the application counts
                self._timer.cancel()

    def send_400_response(self, msg: str) -> None:
        """What uvicorn calls, with an h11 error at hand, for a request that is malformed."""
        if self.cycle is not None:  # within a body: there is an answer on its way
            self.transport.abort()
            return
        error = sys.exception()
        status, why = HTTPStatus.BAD_REQUEST, str(error).lower()
        if isinstance(error, h11.RemoteProtocolError) and "Host: header" in str(error):
            status, why = HTTPStatus.FORBIDDEN, self._host_needed
        elif LONG_NUMBER.search(self._head):
            status, why = HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the body is too large"
        self._refuse(Refusal(status, why))

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._after(self._limits.send_seconds, self.transport.abort)

    def shutdown(self) -> None:
        if self._is_refused or (self.cycle is not None and self.cycle.more_body):  # nobody waits for the rest
            self.transport.abort()
        else:
            super().shutdown()

    def _too_slow(self) -> None:
        self._refuse(Refusal(HTTPStatus.REQUEST_TIMEOUT, "the request came too slowly"))

    def _refuse(self, refusal: Refusal) -> None:
        """Without the application. What still comes is read for a moment, or a reset would take the answer away."""
        self._is_refused, response = True, refusal.response()
        headers = [
            *response.raw_headers,
            *((name.encode(), value.encode()) for name, value in HEADERS.items()),
        ]
        lines = [b"HTTP/1.1 %d %s" % (refusal.status, refusal.status.phrase.encode())]
        lines += [b"%s: %s" % header for header in headers]
        self.transport.write(b"\r\n".join(lines) + HEAD_END + bytes(response.body))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._after(LINGER_SECONDS, self.transport.abort)

    def _after(self, seconds: float, act: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(seconds, act)
