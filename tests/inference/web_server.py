"""A server with a made-up model on a free port, and requests to it."""

import io
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.client import HTTPConnection, HTTPResponse
from typing import Any

import numpy as np
import pytest
from PIL import Image

from harness.inference.embedding import Embedder
from harness.inference.index import update
from harness.inference.web.limits import Limits
from harness.inference.web.server import Server, listen
from harness.inference.web.service import Service
from tests.inference.made_up_models import made, noise, save

LIMITS = Limits(
    body_bytes=100_000,
    receive_seconds=0.5,
    wait_seconds=0.1,
    at_once=2,
    connections=4,
)


class Running:
    """A server on a free port, and requests to it."""

    def __init__(self, service: Service, limits: Limits = LIMITS, token: str = ""):
        self._service, self._limits = service, limits
        self._start(limits, token)

    def _start(self, limits: Limits, token: str = "") -> None:
        self.listening = listen(0, token=token)
        self.port = self.listening.port
        self.server = Server(self._service, self.listening, limits)
        self._thread = threading.Thread(target=self.server.serve, daemon=True)
        self._thread.start()

    def again(self, **limits: Any) -> None:
        """With other limits."""
        self.end()
        self._start(replace(self._limits, **limits))

    def end(self) -> None:
        self.server.end()
        self._thread.join()

    def ask(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, Any, HTTPResponse]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body=body, headers=named)
        response = connection.getresponse()
        content = response.read()
        connection.close()
        is_json = response.headers["Content-Type"] == "application/json" and content
        return response.status, json.loads(content) if is_json else content, response

    def send(self, raw: bytes) -> bytes:
        """What comes back for these bytes, until the server ends the connection."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
            connection.sendall(raw)
            found = b""
            while part := connection.recv(65536):
                found += part
        return found


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Service:
    folder = tmp_path_factory.mktemp("similar")
    for number, pixels in enumerate(noise(5)):
        save(pixels, folder / "photos" / f"<b>{number}.png")
    model = made("resnet", 2)
    embedder = Embedder(model)
    index = update(folder, embedder, folder / "photos")
    return Service(model, "study <b>small</b>", index=index, embedder=embedder)


@pytest.fixture
def running(service: Service) -> Iterator[Running]:
    running = Running(service)
    yield running
    running.end()


def png(pixels: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels.transpose(1, 2, 0)).save(content, "PNG")
    return content.getvalue()
