"""The HTTP server around a `Service`: on 127.0.0.1 only, with limits, and JSON for every error.

GET /           the page, with /page.css and /page.js
GET /health     which model, and that it is there
POST /predict   an image file as the body, or as a file of a form
"""

import io
import json
import logging
import math
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from typing import Any

from harness.documents import to_json
from harness.errors import HarnessError, StoreError
from harness.inference.web.form import FormError, image_of
from harness.inference.web.limits import Limits, RateLimit
from harness.inference.web.service import Health, Prediction, Service
from harness.standalone.image_pixels import UnreadableError

log = logging.getLogger(__name__)

HOST = "127.0.0.1"
PAGES = {"/": "text/html", "/page.css": "text/css", "/page.js": "text/javascript"}
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src data: blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Connection": "close",
}
LINGER_SECONDS = 2.0  # for a refused body, which must be read or the refusal gets lost
JSON = "application/json"


@dataclass(frozen=True)
class Failure:
    """What a request that is not answered gets.   error: why, in a few words."""

    error: str


class Refusal(Exception):
    """A request that is not answered: the status, and why in a few words."""

    def __init__(self, status: HTTPStatus, why: str, *, retry_seconds: float | None = None):
        super().__init__(why)
        self.status, self.retry_seconds = status, retry_seconds


class Server(ThreadingHTTPServer):
    """A server for one `Service`; port 0 takes a free one. Raises StoreError for a port in use."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, service: Service, *, port: int, limits: Limits | None = None):
        self.service, self.limits = service, limits or Limits()
        self.rate = RateLimit(self.limits.burst, self.limits.per_second)
        self.working = threading.BoundedSemaphore(self.limits.at_once)
        self._places = threading.BoundedSemaphore(self.limits.connections)
        try:
            super().__init__((HOST, port), Handler)
        except OSError as error:
            raise StoreError(
                f"port {port} of {HOST} cannot be used: {error.strerror}; try --port 0"
            ) from None
        self.port = int(self.server_address[1])
        self.url = f"http://{HOST}:{self.port}"
        self.hosts = {f"{name}:{self.port}" for name in (HOST, "localhost")}

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._places.acquire(blocking=False):
            _turn_away(request)
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._places.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.debug("a connection broke", exc_info=True)


class Handler(BaseHTTPRequestHandler):
    """One request; the connection ends with it."""

    server: Server
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        self.rfile.close()
        self.rfile = io.BufferedReader(_Incoming(self.connection, self.server.limits.receive_seconds))

    def do_GET(self) -> None:
        self._answer({**dict.fromkeys(PAGES, self._page), "/health": self._health})

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        self._answer({"/predict": self._predict})

    def _answer(self, known: Mapping[str, Callable[[], tuple[str, bytes]]]) -> None:
        try:
            self._admit()
            path = self.path.partition("?")[0]
            if path not in known:
                other = path == "/predict" or path == "/health" or path in PAGES
                status = HTTPStatus.METHOD_NOT_ALLOWED if other else HTTPStatus.NOT_FOUND
                raise Refusal(
                    status, f"{self.command} is of no use here" if other else "there is no such page"
                )
            kind, content = known[path]()
        except Refusal as refusal:
            self._refuse(refusal)
        except Exception as error:
            log.error("%s %s: %s: %s", self.command, self.path[:80], type(error).__name__, str(error)[:200])
            self._refuse(
                Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "something failed; the server's log says what")
            )
        else:
            self._send(HTTPStatus.OK, kind, content)

    def _admit(self) -> None:
        """Only who knows that this is a server of this machine, from its own pages or from none."""
        hosts = self.headers.get_all("Host") or []
        if len(hosts) != 1 or hosts[0].lower() not in self.server.hosts:
            raise Refusal(HTTPStatus.FORBIDDEN, f"Host must be {HOST}:{self.server.port}")
        origins = {f"http://{host}" for host in self.server.hosts}
        if any(origin not in origins for origin in self.headers.get_all("Origin") or []):
            raise Refusal(HTTPStatus.FORBIDDEN, "pages of other origins are not answered")
        site = self.headers.get("Sec-Fetch-Site", "none")
        if site not in ("none", "same-origin") and self.path.partition("?")[0] != "/":
            raise Refusal(HTTPStatus.FORBIDDEN, "pages of other sites are not answered")
        seconds = self.server.rate.wait(self.client_address[0])
        if seconds:
            raise Refusal(HTTPStatus.TOO_MANY_REQUESTS, "too many requests", retry_seconds=seconds)

    def _page(self) -> tuple[str, bytes]:
        path = self.path.partition("?")[0]
        name = "page.html" if path == "/" else path[1:]
        content = (resources.files("harness.inference.web") / name).read_bytes()
        return f"{PAGES[path]}; charset=utf-8", content

    def _health(self) -> tuple[str, bytes]:
        return JSON, _json(self.server.service.health())

    def _predict(self) -> tuple[str, bytes]:
        body = self._body()
        if not self.server.working.acquire(timeout=self.server.limits.wait_seconds):
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "too many images at once", retry_seconds=1)
        try:
            return JSON, _json(self.server.service.predict(image_of(self.headers, body)))
        except FormError as error:
            raise Refusal(HTTPStatus.BAD_REQUEST, str(error)) from None
        except (UnreadableError, HarnessError) as error:
            raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from None
        finally:
            self.server.working.release()

    def _body(self) -> bytes:
        lengths, most = self.headers.get_all("Content-Length") or [], self.server.limits.body_bytes
        if not lengths or "Transfer-Encoding" in self.headers:
            raise Refusal(HTTPStatus.LENGTH_REQUIRED, "Content-Length must say how long the body is")
        if len(lengths) > 1 or not lengths[0].isascii() or not lengths[0].isdigit():
            raise Refusal(HTTPStatus.BAD_REQUEST, "Content-Length must be one number")
        if len(lengths[0]) > 18 or int(lengths[0]) > most:
            raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body may have {most:,} bytes")
        try:
            body = self.rfile.read(int(lengths[0]))
        except TimeoutError:
            raise Refusal(HTTPStatus.REQUEST_TIMEOUT, "the body came too slowly") from None
        if len(body) < int(lengths[0]):
            raise Refusal(HTTPStatus.BAD_REQUEST, "the body is shorter than Content-Length says")
        return body

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What http.server refuses by itself: malformed requests and unknown methods."""
        status = HTTPStatus(code)
        if status in (HTTPStatus.NOT_IMPLEMENTED, HTTPStatus.HTTP_VERSION_NOT_SUPPORTED):
            unknown = status == HTTPStatus.NOT_IMPLEMENTED
            status = HTTPStatus.METHOD_NOT_ALLOWED if unknown else HTTPStatus.BAD_REQUEST
        self._refuse(Refusal(status, status.phrase.lower()))

    def _refuse(self, refusal: Refusal) -> None:
        more = {}
        if refusal.retry_seconds is not None:
            more["Retry-After"] = str(math.ceil(refusal.retry_seconds))
        self._send(refusal.status, JSON, _json(Failure(str(refusal))), more)
        _linger(self.connection)

    def _send(
        self, status: HTTPStatus, kind: str, content: bytes, more: Mapping[str, str] | None = None
    ) -> None:
        self.close_connection = True
        self.request_version = self.protocol_version  # whatever was asked in: an answer has headers
        self.connection.settimeout(self.server.limits.send_seconds)
        self.send_response(status)
        described = {"Content-Type": kind, "Content-Length": str(len(content))}
        for name, value in {**described, **HEADERS, **(more or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if getattr(self, "command", "") != "HEAD":
            self.wfile.write(content)

    def version_string(self) -> str:
        return "harness"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  http.server's own name
        """Requests are not logged: they come from this machine's user."""


class _Incoming(io.RawIOBase):
    """What a client sends, all of it within so many seconds."""

    def __init__(self, connection: socket.socket, seconds: float):
        self._connection, self._end = connection, time.monotonic() + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("the request came too slowly")
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)


def _json(document: Health | Prediction | Failure) -> bytes:
    return json.dumps(to_json(document), ensure_ascii=False, allow_nan=False).encode()


def _turn_away(connection: socket.socket) -> None:
    content = _json(Failure("too many connections"))
    lines = [
        "HTTP/1.1 503 Service Unavailable", f"Content-Type: {JSON}", f"Content-Length: {len(content)}",
        "Retry-After: 1", *(f"{name}: {value}" for name, value in HEADERS.items()), "", "",
    ]  # fmt: skip
    try:
        connection.settimeout(0.2)
        connection.sendall("\r\n".join(lines).encode() + content)
    except OSError:
        log.debug("a connection broke", exc_info=True)


def _linger(connection: socket.socket) -> None:
    """Reads for a moment what the client is still sending; a connection reset would take the answer from it."""
    end = time.monotonic() + LINGER_SECONDS
    try:
        connection.shutdown(socket.SHUT_WR)
        while (left := end - time.monotonic()) > 0:
            connection.settimeout(left)
            if not connection.recv(2**16):
                return
    except OSError:
        return
