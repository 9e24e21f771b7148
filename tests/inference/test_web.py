"""The server with real requests: what it answers, and what it refuses with one line of JSON."""

import base64
import io
import json
from dataclasses import replace
from typing import Any

import pytest
import torch
from PIL import Image

from harness.data.decoding import MAX_BYTES
from harness.errors import DataError, StoreError
from harness.inference.web.server import listen
from harness.inference.web.service import Asked, Service, Wanted
from tests.inference.made_up_models import CLASSES, made, noise
from tests.inference.web_server import Running, png


def test_an_image_is_answered_as_the_model_does(running: Running) -> None:
    status, answer, response = running.ask("POST", "/predict", png(noise(5)[3]))
    expected = made("resnet", 2).predict(noise(5)[3:4])[0]
    assert (status, answer["schema"], list(answer["probabilities"])) == (200, 1, list(CLASSES))
    assert list(answer["probabilities"].values()) == pytest.approx(expected.tolist(), abs=1e-5)
    assert answer["label"] == CLASSES[expected.argmax()]
    best = answer["similar"][0]
    assert best["name"] == "<b>3.png" and best["score"] == pytest.approx(1, abs=1e-5)
    assert len(answer["similar"]) == 5
    for url, kind in ((answer["where"], "png"), (answer["similar"][0]["image"], "jpeg")):
        head, _, content = url.partition(",")
        assert head == f"data:image/{kind};base64"
        Image.open(io.BytesIO(base64.b64decode(content))).verify()
    assert response.headers["Connection"] == "close"


def test_a_form_is_answered_like_its_file(running: Running) -> None:
    content = png(noise(1)[0])
    body = (
        b'--xyz\r\nContent-Disposition: form-data; name="note"\r\n\r\nhello\r\n--xyz\r\n'
        b'Content-Disposition: form-data; name="image"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
        + content + b"\r\n--xyz--\r\n"
    )  # fmt: skip
    form = running.ask("POST", "/predict", body, Content_Type="multipart/form-data; boundary=xyz")
    assert form[0] == 200 and form[1] == running.ask("POST", "/predict", content)[1]
    status, answer, _ = running.ask(
        "POST", "/predict", body, Content_Type="multipart/form-data; boundary=other"
    )
    assert (status, answer["error"]) == (400, "the form cannot be read: Invalid multipart data.")
    empty = b'--xyz\r\nContent-Disposition: form-data; name="note"\r\n\r\nhello\r\n--xyz--\r\n'
    status, answer, _ = running.ask(
        "POST", "/predict", empty, Content_Type="multipart/form-data; boundary=xyz"
    )
    assert (status, answer["error"]) == (400, "there is no file in the form")


def test_the_page_and_its_parts_are_there_with_strict_headers(running: Running) -> None:
    for path, kind in (("/", "text/html"), ("/page.css", "text/css"), ("/page.js", "text/javascript")):
        status, content, response = running.ask("GET", path)
        assert status == 200 and response.headers["Content-Type"] == f"{kind}; charset=utf-8" and content
        policy = response.headers["Content-Security-Policy"]
        assert (
            "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
        )
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Server"] == "harness"
        assert not [name for name in response.headers if name.lower().startswith("access-control")]
        empty = running.ask("HEAD", path)
        assert empty[0] == 200 and empty[1] == b"" and empty[2].headers["Content-Length"] == str(len(content))


def test_it_says_which_model_it_is(running: Running) -> None:
    status, answer, _ = running.ask("GET", "/health?now")
    assert (status, answer["model"], answer["indexed"]) == (200, "study <b>small</b>", 5)
    assert answer["classes"] == list(CLASSES) and answer["calibrated"] is True


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example:{port}"]
)
def test_a_foreign_host_is_refused(running: Running, host: str) -> None:
    status, answer, _ = running.ask("GET", "/health", Host=host.format(port=running.port))
    assert (status, answer["error"]) == (403, f"Host must be 127.0.0.1:{running.port}")
    assert running.ask("GET", "/health", Host=f"localhost:{running.port}")[0] == 200


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec_Fetch_Site": "cross-site"}],
)
def test_pages_of_others_are_refused(running: Running, headers: dict[str, str]) -> None:
    status, answer, _ = running.ask("POST", "/predict", png(noise(1)[0]), **headers)
    assert status == 403 and "are not answered" in answer["error"]
    own = f"http://127.0.0.1:{running.port}"
    assert (
        running.ask("POST", "/predict", png(noise(1)[0]), Origin=own, Sec_Fetch_Site="same-origin")[0] == 200
    )


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /health HTTP/1.1\r\n\r\n", 403),
        (b"GET /health HTTP/1.1\r\nHost: {host}\r\nHost: {host}\r\n\r\n", 403),
        (b"OPTIONS /predict HTTP/1.1\r\nHost: {host}\r\n\r\n", 405),
        (b"DELETE / HTTP/1.1\r\nHost: {host}\r\n\r\n", 405),
        (b"GET /predict HTTP/1.1\r\nHost: {host}\r\n\r\n", 405),
        (b"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n", 405),
        (b"GET /../../etc/passwd HTTP/1.1\r\nHost: {host}\r\n\r\n", 404),
        (b"GET //server.py HTTP/1.1\r\nHost: {host}\r\n\r\n", 404),
        (b"GET http://evil.example/health HTTP/1.1\r\nHost: {host}\r\n\r\n", 404),
        (b"GET / HTTP/9.1\r\nHost: {host}\r\n\r\n", 400),
        (b"nonsense of no kind at all\r\n\r\n", 400),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", 431),
        (b"POST /predict HTTP/1.1\r\nHost: {host}\r\n\r\n", 411),
        (b"POST /predict HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
        (b"POST /predict HTTP/1.1\r\nHost: {host}\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST /predict HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST /predict HTTP/1.1\r\nHost: {host}\r\nContent-Length: 100001\r\n\r\n" + b"x" * 100_001, 413),
        (b"POST /predict HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1" + b"0" * 400 + b"\r\n\r\n", 413),
        (b"POST /predict HTTP/1.1\r\nHost: {host}\r\nContent-Length: 9\r\n\r\nslow", 408),
        (b"POST /predict HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n", 422),
    ],
)
def test_malformed_requests_are_refused_as_json(running: Running, request_: bytes, status: int) -> None:
    host = f"127.0.0.1:{running.port}".encode()
    head, _, body = running.send(request_.replace(b"{host}", host)).partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode()), head[:80]
    assert b"Content-Security-Policy" in head
    answer = json.loads(body)
    assert answer["error"] and "Traceback" not in answer["error"] and "\n" not in answer["error"]
    assert running.ask("GET", "/health")[0] == 200


def test_hostile_files_are_refused_and_do_no_harm(running: Running) -> None:
    good = png(noise(1)[0])
    side = int((MAX_BYTES / 4) ** 0.5) + 1
    bomb = io.BytesIO()
    Image.new("1", (side, side)).save(bomb, "PNG")
    script = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
    for content in (
        bomb.getvalue(),
        good[: len(good) // 2],
        b"\x00" * 1000,
        script,
        b"GIF89a" + b"\xff" * 50,
    ):
        status, answer, _ = running.ask("POST", "/predict", content)
        assert status == 422 and "\n" not in answer["error"], answer
    assert running.ask("POST", "/predict", good)[0] == 200


def test_a_failure_inside_is_told_without_its_traceback(
    running: Running, service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("secret place")

    monkeypatch.setattr(service, "decode", fail)
    status, answer, _ = running.ask("POST", "/predict", b"x")
    assert (status, answer) == (500, {"schema": 1, "error": "something failed; the server's log says what"})
    assert "POST /predict: ZeroDivisionError: secret place" in caplog.text and "Traceback" not in caplog.text


def test_a_port_in_use_is_told_in_one_line(running: Running) -> None:
    with pytest.raises(StoreError, match=f"port {running.port} of 127.0.0.1 cannot be used"):
        listen(running.port)


def test_it_listens_on_this_machine_only(running: Running) -> None:
    assert running.listening.socket.getsockname()[0] == "127.0.0.1"


def test_a_model_of_no_image_files_is_refused() -> None:
    with pytest.raises(DataError, match="which no file is made into"):
        Service(replace(made("resnet"), image_shape=(4, 16, 16)), "source")


def test_without_an_index_there_are_no_similar_images() -> None:
    service, asked = Service(made("simple_cnn"), "source"), Asked(noise(1)[0], Wanted())
    answer = service.describe(asked, service.look([asked])[0])
    assert answer.similar == () and (answer.where or "").startswith("data:image/png;base64,")


def test_probabilities_that_are_no_numbers_are_no_answer() -> None:
    model = made("simple_cnn")
    for parameter in model.folds[0].network.parameters():
        torch.nn.init.constant_(parameter, float("nan"))
    service, asked = Service(model, "source"), Asked(noise(1)[0], Wanted())
    with pytest.raises(ArithmeticError, match="not finite"):
        service.describe(asked, service.look([asked])[0])
