"""`harness serve` as a process: how it begins, what it says, how it ends."""

import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError

import pytest

from harness.inference.export import save_model
from tests.inference.made_up_models import made, noise
from tests.inference.web_server import png

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
SERVE = [sys.executable, "-m", "harness", "serve", "model", "--home", "home"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_model(tmp_path / "model", made("resnet"), study="small", trial=0)
    return tmp_path


@contextmanager
def served(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The process, and its port."""
    command = [*SERVE, "--port", "0", *options]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            line = next(line for line in process.stderr if line.startswith("http://"))
            yield process, int(line.rsplit(":", 1)[1])
        finally:
            process.kill()


def refused(folder: Path, *options: str) -> tuple[int, list[str]]:
    """The exit code of a command that fails, and the lines that it says."""
    found = subprocess.run([*SERVE, *options], cwd=folder, capture_output=True, text=True, timeout=60)
    return found.returncode, found.stderr.splitlines()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_soon_whoever_is_connected(folder: Path, number: int, code: int) -> None:
    with served(folder) as (process, port):
        head = f"POST /predict HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 9\r\n\r\n".encode()
        halves = [socket.create_connection(("127.0.0.1", port)) for _ in range(40)]
        for place, half in enumerate(halves):
            half.sendall(head[: 20 if place % 2 else None])
        began = time.monotonic()
        url = f"http://127.0.0.1:{port}/predict"
        with urllib.request.urlopen(url, data=png(noise(1)[0]), timeout=10) as answer:
            assert answer.status == 200 and time.monotonic() - began < 5
        process.send_signal(number)
        began = time.monotonic()
        assert process.wait(20) == code and time.monotonic() - began < 10
        assert process.stderr is not None and "Traceback" not in process.stderr.read()
        for half in halves:
            half.close()


def test_a_port_in_use_is_told_in_one_line(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, lines = refused(folder, "--port", str(port))
    assert (code, lines) == (
        4, [f"harness: port {port} of 127.0.0.1 cannot be used: Address already in use; try --port 0"]
    )  # fmt: skip


def test_the_advice_about_a_token_works_when_it_is_followed(folder: Path) -> None:
    code, lines = refused(folder, "--host", "0.0.0.0")
    assert code == 2 and len(lines) == 1
    command = re.search(r"token only: (python .+) writes one", lines[0])
    assert command is not None and "--token-file token.txt has it asked for" in lines[0]
    ours = command[1].replace("python", shlex.quote(sys.executable), 1)
    subprocess.run(ours, shell=True, cwd=folder, check=True)
    token = (folder / "token.txt").read_text().strip()
    with served(folder, "--host", "0.0.0.0", "--token-file", "token.txt") as (_, port):
        asked = urllib.request.Request(f"http://127.0.0.1:{port}/predict", data=png(noise(1)[0]))
        with pytest.raises(HTTPError, match="401"):
            urllib.request.urlopen(asked, timeout=10)
        asked.add_header("Authorization", f"Bearer {token}")
        with urllib.request.urlopen(asked, timeout=10) as answer:
            assert answer.status == 200


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "No such file or directory"),
        (b"", "is empty"),
        (b"\xff", "is no text"),
        (b"short\n", "at least 16"),
    ],
)
def test_a_token_that_is_none_is_told_in_one_line(folder: Path, content: bytes | None, why: str) -> None:
    if content is not None:
        (folder / "token.txt").write_bytes(content)
    code, lines = refused(folder, "--token-file", "token.txt")
    assert code == 2 and len(lines) == 1 and why in lines[0]
