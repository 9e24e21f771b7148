"""What harness/docs/serving.md says: its commands, run as they stand, and its limits and names."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import harness
from harness.inference.web.limits import Limits
from harness.inference.web.service import Service
from tests.inference.made_up_models import made, noise, save
from tests.inference.web_server import Running

PAGE = (Path(harness.__file__).parent / "docs" / "serving.md").read_text(encoding="utf-8")
CURL = [
    line for block in re.findall(r"^```sh\n(.*?)^```", PAGE, re.M | re.S) for line in block.splitlines()
    if line.startswith("curl ")
]  # fmt: skip
TOKEN = "a token of enough characters"


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.parametrize("command", CURL)
def test_every_command_of_the_page_is_answered(command: str, service: Service, tmp_path: Path) -> None:
    save(noise(1)[0], tmp_path / "photo.png")
    (tmp_path / "other.jpg").write_bytes(b"")
    (tmp_path / "token.txt").write_text(f"{TOKEN}\n")
    running = Running(service, token=TOKEN if "token" in command else "")
    ours = command.replace("curl", "curl --silent --fail --noproxy '*'", 1).replace("8000", str(running.port))
    try:
        found = subprocess.run(ours, shell=True, cwd=tmp_path, check=True, capture_output=True, timeout=60)
    finally:
        running.end()
    answer = json.loads(found.stdout)
    if "openapi" in command:
        assert answer["openapi"]
    elif "batch" in command:
        assert [row["error"] for row in answer["images"]] == [None, "empty"]
        assert [row["name"] for row in answer["images"]] == ["photo.png", "other.jpg"]
    else:
        assert answer["label"] == ("unsure" if "threshold" in command else made("resnet", 2).classes[1])
        assert (answer["where"] is None) == ("explain=false" in command)


def test_the_page_has_commands() -> None:
    assert len(CURL) == 5


def test_its_limits_are_those_of_the_server() -> None:
    limits = Limits()
    for text in (
        f"{limits.body_bytes // 10**6} MB; a batch {limits.batch_bytes // 10**6} MB and {limits.batch_images:,} images",
        f"{limits.receive_seconds:.0f} s for its head, {limits.receive_seconds:.0f} s for its body",
        f"{limits.send_seconds:.0f} s to take the answer, {limits.work_seconds:.0f} s in between",
        f"{limits.connections} connections, {limits.held_bytes // 10**6} MB of bodies, {limits.at_once} requests",
        f"others wait {limits.wait_seconds:.0f} s",
        f"{limits.light_bytes // 4 // 10**6} megapixels",
        f"{limits.apart.seconds} s of processor time and {limits.apart.memory_gib:.0f} GiB of addresses",
    ):
        assert text in PAGE


def test_its_counters_are_those_of_the_server(running: Running) -> None:
    named = set(re.findall(r"`((?:harness|process)_\w+)", PAGE))
    content = running.ask("GET", "/metrics")[1].decode()
    assert named == set(re.findall(r"^# TYPE (\w+)", content, re.M))
