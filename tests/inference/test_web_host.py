"""Where the server listens, and who must bring a token."""

import asyncio
import base64
import signal
import socket
import threading
import urllib.request
from collections.abc import Iterator
from unittest.mock import Mock

import pytest

from harness.errors import UsageError
from harness.inference.web.server import Server, listen
from harness.inference.web.service import Service
from tests.inference.made_up_models import CLASSES, noise
from tests.inference.web_server import Running, png

TOKEN = "a token of enough characters"


@pytest.fixture
def secured(service: Service) -> Iterator[Running]:
    running = Running(service, token=TOKEN)
    yield running
    running.end()


def basic(token: str) -> str:
    return "Basic " + base64.b64encode(f"me:{token}".encode()).decode()


@pytest.mark.parametrize(
    "given", ["", f"Bearer {TOKEN}x", "Bearer", TOKEN, basic("x"), "Basic !", "Basic", "Bearer \xff"]
)
def test_without_the_token_nobody_is_answered(secured: Running, given: str) -> None:
    headers = {"Authorization": given} if given else {}
    for method, path in (
        ("GET", "/"),
        ("GET", "/metrics"),
        ("GET", "/openapi.json"),
        ("GET", "/no"),
        ("POST", "/predict"),
    ):
        status, answer, response = secured.ask(method, path, **headers)
        assert (status, answer["error"]) == (401, "a token is needed, and this is not it")
        assert response.headers["WWW-Authenticate"].startswith("Basic realm=")
    assert secured.ask("GET", "/health", **headers)[:2] == (200, {"schema": 1, "status": "ok"})


@pytest.mark.parametrize("given", [f"Bearer {TOKEN}", f"bearer  {TOKEN}", basic(TOKEN)])
def test_with_the_token_one_is_answered_by_any_name(secured: Running, given: str) -> None:
    image, host = png(noise(1)[0]), "images.example"
    assert secured.ask("POST", "/predict", image, Authorization=given, Host=host)[0] == 200
    assert secured.ask("GET", "/health", Authorization=given)[1]["classes"] == list(CLASSES)
    own = {"Authorization": given, "Host": host, "Origin": f"https://{host}"}
    assert secured.ask("POST", "/predict", image, **own)[0] == 200
    status, answer, _ = secured.ask("POST", "/predict", image, **own | {"Origin": "https://evil.example"})
    assert (status, answer["error"]) == (403, "pages of other origins are not answered")
    document = secured.ask("GET", "/openapi.json", Authorization=given)[1]
    assert document["security"] == [{"token": []}]


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_others_than_this_machine_need_a_token(host: str) -> None:
    with pytest.raises(UsageError, match="are answered with a token only: python -c"):
        listen(0, host=host)
    with pytest.raises(UsageError, match="at least 16 characters"):
        listen(0, host=host, token="short")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.2", "::1"])
def test_this_machine_has_other_addresses(service: Service, host: str) -> None:
    listening = listen(0, host=host)
    server = Server(service, listening)
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        with urllib.request.urlopen(f"{listening.url}/health", timeout=10) as answer:
            assert answer.status == 200
    finally:
        server.end()
        thread.join()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_before_it_listens_ends_it_cleanly(
    service: Service, monkeypatch: pytest.MonkeyPatch, sent: signal.Signals
) -> None:
    class Ended(BaseException):
        pass

    made = asyncio.events.new_event_loop

    def half_made() -> asyncio.AbstractEventLoop:
        signal.raise_signal(sent)
        return made()

    def on_signal(*_: object) -> None:
        raise Ended

    monkeypatch.setattr(asyncio.events, "new_event_loop", half_made)
    listening = listen(0)
    before = signal.signal(sent, on_signal)
    try:
        with pytest.raises(Ended):
            Server(service, listening).serve()
        assert signal.getsignal(sent) is on_signal
    finally:
        signal.signal(sent, before)
    assert listening.socket.fileno() == -1


def test_a_host_that_is_none_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    monkeypatch.setattr(socket, "getaddrinfo", Mock(side_effect=unknown))
    with pytest.raises(UsageError, match=r"^--host no such host: Name or service not known$"):
        listen(0, host="no such host")
