"""How much the server lets anybody have of this machine."""

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from harness.data.limited import Bounds
from harness.inference.web.service import Service
from tests.inference.made_up_models import noise
from tests.inference.web_server import LIMITS, Running, png


def test_a_large_body_is_refused_in_words_and_not_by_a_broken_connection(running: Running) -> None:
    status, answer, _ = running.ask("POST", "/predict", bytes(30_000_000))
    assert (status, answer["error"]) == (413, "the body may have 100,000 bytes")


def test_more_images_than_allowed_at_once_are_turned_away(
    running: Running, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    done, begun, decode = threading.Event(), threading.Barrier(3), service.decode

    def slow(content: bytes, *, most: int) -> np.ndarray:
        begun.wait(10)
        done.wait(10)
        return decode(content, most=most)

    monkeypatch.setattr(service, "decode", slow)
    found: list[int] = []
    image = png(noise(1)[0])
    threads = [
        threading.Thread(target=lambda: found.append(running.ask("POST", "/predict", image)[0]))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    begun.wait(10)
    status, answer, response = running.ask("POST", "/predict", image)
    assert (status, answer["error"], response.headers["Retry-After"]) == (503, "too many images at once", "1")
    assert running.ask("GET", "/health")[0] == 200
    done.set()
    for thread in threads:
        thread.join()
    assert found == [200, 200]


def test_idle_connections_do_not_keep_others_out_for_long(running: Running) -> None:
    began = time.monotonic()
    address = "127.0.0.1", running.port
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


def test_a_form_of_many_parts_is_not_searched_for_ever(running: Running) -> None:
    parts = b"--x\r\n" * 15_000 + b'Content-Disposition: form-data; name="a"; filename="a"\r\n\r\na\r\n--x--'
    began = time.monotonic()
    status, answer, _ = running.ask("POST", "/predict", parts, Content_Type="multipart/form-data; boundary=x")
    assert status == 400 and "the form cannot be read" in answer["error"] and time.monotonic() - began < 2


def test_bodies_take_so_much_memory_together(service: Service) -> None:
    running = Running(service, replace(LIMITS, held_bytes=40_000, receive_seconds=20))
    head = f"POST /predict HTTP/1.1\r\nHost: 127.0.0.1:{running.port}\r\nContent-Length: 50000\r\n\r\n"
    image = png(noise(1)[0])
    try:
        with socket.create_connection(("127.0.0.1", running.port)) as half:
            half.sendall(head.encode() + bytes(39_900))
            time.sleep(0.2)
            status, answer, _ = running.ask("POST", "/predict", image)
            assert (status, answer["error"]) == (503, "too many images at once")
            assert running.ask("GET", "/health")[0] == 200
        time.sleep(0.2)
        assert running.ask("POST", "/predict", image)[0] == 200
    finally:
        running.end()


def test_a_request_is_worked_on_for_so_long(
    running: Running, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    running.again(work_seconds=0.1)
    decode = service.decode

    def slow(content: bytes, *, most: int) -> np.ndarray:
        time.sleep(0.5)
        return decode(content, most=most)

    monkeypatch.setattr(service, "decode", slow)
    status, answer, _ = running.ask("POST", "/predict", png(noise(1)[0]))
    assert (status, answer["error"]) == (503, "takes more than 0 s; send fewer images at once")


def test_large_images_keep_no_small_ones_waiting(
    running: Running, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    running.again(light_bytes=2000, wait_seconds=20, connections=10, at_once=10)
    go_on, begun, at_work, apart = threading.Event(), threading.Event(), [], service.decode_apart

    def slow(content: bytes, bounds: Bounds) -> np.ndarray:
        at_work.append(1)
        assert len(at_work) == 1  # one at a time
        begun.set()
        go_on.wait(20)
        at_work.pop()
        return apart(content, bounds)

    monkeypatch.setattr(service, "decode_apart", slow)
    large = png(noise(1, 64)[0])
    with ThreadPoolExecutor(3) as pool:
        found = [pool.submit(running.ask, "POST", "/predict", large) for _ in range(3)]
        begun.wait(10)
        assert running.ask("POST", "/predict", png(noise(1)[0]))[0] == 200
        go_on.set()
        assert [future.result()[0] for future in found] == [200] * 3


def test_who_waits_too_long_for_large_images_is_told_to_come_again(
    running: Running, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    running.again(light_bytes=2000, wait_seconds=0.2, connections=10, at_once=10)
    begun, go_on, apart = threading.Event(), threading.Event(), service.decode_apart

    def slow(content: bytes, bounds: Bounds) -> np.ndarray:
        begun.set()
        go_on.wait(20)
        return apart(content, bounds)

    monkeypatch.setattr(service, "decode_apart", slow)
    large = png(noise(1, 64)[0])
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(running.ask, "POST", "/predict", large)
        begun.wait(10)
        status, answer, response = running.ask("POST", "/predict", large)
        go_on.set()
        assert first.result()[0] == 200
    assert (status, response.headers["Retry-After"]) == (503, "1")
    assert answer["error"] == "too many images at once that are large or take long"


def test_there_is_no_limit_to_how_often_one_asks(running: Running) -> None:
    assert {running.ask("GET", path)[0] for path in ("/health", "/page.css") * 50} == {200}
