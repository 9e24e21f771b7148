"""Published weights: whether they are here or can be fetched, without fetching them."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.errors import HarnessError
from harness.models import weights

CONTENT = b"weights"
HASH = hashlib.sha256(CONTENT).hexdigest()
URL = f"https://example.org/models/net-{HASH[:8]}.pth"


class Answer:
    def close(self) -> None:
        pass


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Any]:
    """What servers are asked for; they have everything. The caches are empty."""
    found: list[Any] = []

    def answer(request: Any, *_: Any, **__: Any) -> Answer:
        found.append(request if isinstance(request, str) else (request.method, request.full_url))
        return Answer()

    monkeypatch.setattr(weights, "urlopen", answer)
    monkeypatch.setattr("huggingface_hub.get_hf_file_metadata", answer)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    return found


def test_a_server_is_only_asked_whether_it_has_a_file(asked: list[Any], tmp_path: Path) -> None:
    weights.require_url(URL)
    weights.require_hub("some/net", "a.safetensors", "b.bin")
    assert asked[0] == ("HEAD", URL) and asked[1].endswith("some/net/resolve/main/a.safetensors")
    assert len(asked) == 2 and list(tmp_path.iterdir()) == []


def test_what_is_in_the_cache_is_looked_at_and_no_server_asked(asked: list[Any], tmp_path: Path) -> None:
    path = tmp_path / "checkpoints" / URL.rpartition("/")[2]
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    weights.require_url(URL)
    path.write_bytes(b"other")
    with pytest.raises(HarnessError, match="is damaged: its SHA-256 does not begin with"):
        weights.require_url(URL)
    assert asked == []


class ConnectError(Exception):
    """Like those of httpx, which are no OSError."""


@pytest.mark.parametrize(
    "error", [OSError("no network"), ConnectError("no network"), RuntimeError("no network")]
)
def test_what_cannot_be_had_is_told_with_what_to_do(
    asked: list[Any], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr("huggingface_hub.get_hf_file_metadata", refuse)
    with pytest.raises(
        HarnessError, match=r"no a.bin of some/net in .*cannot be fetched \(no network\): .*hf download"
    ):
        weights.require_hub("some/net", "a.bin")
    if not isinstance(error, ConnectError):
        monkeypatch.setattr(weights, "urlopen", refuse)
        with pytest.raises(HarnessError, match=r"cannot be fetched \(no network\): put it there, from https"):
            weights.require_url(URL)


def test_the_last_of_several_names_decides(asked: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub.errors import RemoteEntryNotFoundError

    there: set[str] = set()

    def answer(url: str, **_: Any) -> None:
        name = url.rpartition("/")[2]
        if name not in there:
            raise RemoteEntryNotFoundError.__new__(RemoteEntryNotFoundError)

    monkeypatch.setattr("huggingface_hub.get_hf_file_metadata", answer)
    with pytest.raises(HarnessError, match=r"no a.safetensors of some/net"):
        weights.require_hub("some/net", "a.safetensors", "b.bin")
    there.add("b.bin")
    weights.require_hub("some/net", "a.safetensors", "b.bin")
