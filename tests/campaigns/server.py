"""A real MLflow server on this machine, and a proxy before it that loses, cuts, delays and refuses."""

import http.client
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

START_SECONDS = 120.0
FAULTS = ("lost request", "lost reply", "cut request", "cut reply", "error", "delay")
NOT_FORWARDED = {"connection", "keep-alive", "transfer-encoding", "host", "content-length"}


class TrackingServer:
    """`mlflow server` over a database and artifacts in `folder`, until it is closed."""

    def __init__(self, folder: Path, *, backend: str = ""):
        """backend: the database's address, or "" for a SQLite file in the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        self.database, self.artifacts = folder / "server.db", folder / "artifacts"
        self.port = free_port()
        command = [
            sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1",
            "--backend-store-uri", backend or f"sqlite:///{self.database}",
            "--serve-artifacts", "--artifacts-destination", str(self.artifacts),
        ]  # fmt: skip
        environment = {
            **os.environ,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        }
        with (folder / "server.log").open("wb") as log:
            self.process = subprocess.Popen(
                command, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        self._wait()

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            with suppress(OSError):
                build_opener(ProxyHandler({})).open(f"{self.uri}/health", timeout=5).close()
                return
            time.sleep(0.1)
        self.close()
        raise RuntimeError("the MLflow server has not started")


class FaultProxy:
    """Forwards to a server. `rate`: of requests that a fault befalls; `only`: requests whose line holds this.

    away: "" or how the server is away: `refusing` closes every connection, `silent` never answers.
    """

    def __init__(self, port: int, chance: random.Random):
        self.target, self.rate, self.only, self.away = port, 0.0, "", ""
        self.counts: Counter[str] = Counter()
        self._chance, self._lock = chance, threading.Lock()
        proxy = self

        class Handler(_Handler):
            owner = proxy

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self.away = "refusing"
        self._server.shutdown()
        self._server.server_close()

    def fault(self, line: str) -> str:
        """What befalls this request, or ""."""
        with self._lock:
            kind = self.away
            if not kind and self.only in line and self._chance.random() < self.rate:
                kind = self._chance.choice(FAULTS)
            self.counts[kind or "passed"] += 1
            return kind


class _Handler(BaseHTTPRequestHandler):
    """One request: read it whole, decide, forward it, answer."""

    owner: FaultProxy
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        self._forward()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815

    def _forward(self) -> None:
        self.close_connection = True
        body = self._body()
        kind = self.owner.fault(f"{self.command} {self.path}")
        while kind == "silent" and self.owner.away == "silent":
            time.sleep(0.05)
        if kind in ("silent", "refusing", "lost request"):
            return
        if kind == "error":
            self._answer(503, [], b"the server has a bad day")
            return
        if kind == "delay":
            time.sleep(0.3)
        if kind == "cut request":
            self._send_half(body)
            return
        with suppress(OSError, http.client.HTTPException):
            status, headers, content = self._ask(body)
            if kind == "lost reply":
                return
            self._answer(status, headers, content, part=len(content) // 2 if kind == "cut reply" else None)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            chunks = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(chunks)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _headers(self) -> dict[str, str]:
        kept = {key: value for key, value in self.headers.items() if key.lower() not in NOT_FORWARDED}
        return {**kept, "Host": f"127.0.0.1:{self.owner.target}", "Connection": "close"}

    def _ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.owner.target, timeout=30)
        try:
            connection.request(self.command, self.path, body, self._headers())
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def _send_half(self, body: bytes) -> None:
        """What the server sees of a request whose sender dies."""
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.owner.target)) as server:
            lines = [f"{self.command} {self.path} HTTP/1.1"]
            lines += [f"{key}: {value}" for key, value in self._headers().items()]
            lines += [f"Content-Length: {len(body)}", "", ""]
            server.sendall("\r\n".join(lines).encode() + body[: len(body) // 2])

    def _answer(
        self, status: int, headers: list[tuple[str, str]], content: bytes, part: int | None = None
    ) -> None:
        with suppress(OSError):
            self.send_response_only(status)
            for key, value in headers:
                if key.lower() not in NOT_FORWARDED:
                    self.send_header(key, value)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Connection", "close")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content[:part])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
