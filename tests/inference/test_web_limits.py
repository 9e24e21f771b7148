"""How much the server lets anybody have of this machine."""

import socket
import threading
import time
from dataclasses import replace
from email.message import Message
from typing import Any

import pytest

from harness.inference.web.form import FormError, image_of
from harness.inference.web.limits import RateLimit
from harness.inference.web.service import Service
from tests.inference.web_server import LIMITS, Running


def test_a_large_body_is_refused_in_words_and_not_by_a_broken_connection(running: Running) -> None:
    status, answer, _ = running.ask("POST", "/predict", bytes(30_000_000))
    assert (status, answer["error"]) == (413, "the body may have 100,000 bytes")


def test_more_images_than_allowed_at_once_are_turned_away(
    running: Running, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    done, begun = threading.Event(), threading.Barrier(3)

    def slow(_: bytes) -> dict[str, Any]:
        begun.wait(10)
        done.wait(10)
        return {"label": "cat"}

    monkeypatch.setattr(service, "predict", slow)
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda: found.append(running.ask("POST", "/predict", b"x")[0]))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    begun.wait(10)
    status, answer, response = running.ask("POST", "/predict", b"x")
    assert (status, answer["error"], response.headers["Retry-After"]) == (503, "too many images at once", "1")
    assert running.ask("GET", "/health")[0] == 200
    done.set()
    for thread in threads:
        thread.join()
    assert found == [200, 200]


def test_idle_connections_do_not_keep_others_out_for_long(running: Running) -> None:
    began = time.monotonic()
    address = "127.0.0.1", running.server.port
    idle = [socket.create_connection(address, timeout=20) for _ in range(LIMITS.connections)]
    for connection in idle:
        connection.sendall(b"GET / HTTP/1.1\r\n")
    time.sleep(0.1)
    status, answer, _ = running.ask("GET", "/health")
    assert (status, answer["error"]) == (503, "too many connections")
    for connection in idle:
        while connection.recv(100):  # until the server ends it
            pass
        connection.close()
    assert time.monotonic() - began < 10
    time.sleep(0.1)
    assert running.ask("GET", "/health")[0] == 200


def test_one_address_may_ask_only_so_often(service: Service) -> None:
    running = Running(service, replace(LIMITS, burst=3, per_second=0.01))
    try:
        assert [running.ask("GET", "/health")[0] for _ in range(4)] == [200, 200, 200, 429]
        _, answer, response = running.ask("POST", "/predict", b"x")
        assert answer["error"] == "too many requests" and 90 <= int(response.headers["Retry-After"]) <= 100
    finally:
        running.end()


def test_tokens_come_back_with_time_and_for_each_address() -> None:
    now = [0.0]
    rate = RateLimit(2, 0.5, clock=lambda: now[0])
    assert [rate.wait("a"), rate.wait("a"), rate.wait("a"), rate.wait("b")] == [0, 0, 2, 0]
    now[0] = 1.0
    assert rate.wait("a") == 1
    now[0] = 2.0
    assert [rate.wait("a"), rate.wait("a")] == [0, 2]
    for number in range(5000):
        rate.wait(str(number))
    assert len(rate._buckets) <= 1024


def test_a_form_of_many_parts_is_not_searched_for_ever() -> None:
    headers = Message()
    headers["Content-Type"] = "multipart/form-data; boundary=x"
    with pytest.raises(FormError):
        image_of(
            headers, b"--x\r\n" * 100_000 + b'Content-Disposition: form-data; filename="a"\r\n\r\na\r\n--x--'
        )
    part = b'\r\nContent-Disposition: form-data; filename="a"\r\n\r\na\r\n\r\nb'
    assert image_of(headers, b"--x" + part + b"\r\n--x--") == b"a\r\n\r\nb"
