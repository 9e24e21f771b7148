"""Files of published weights: found in the caches of torch and Hugging Face or fetched, and checked by their hash."""

import logging
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from urllib.request import Request, urlopen

import torch

from harness.errors import HarnessError, UsageError
from harness.files import digest_of

TIMEOUT_SECONDS = 30.0


def from_url(url: str) -> Path:
    """The file of that address in torch's cache folder, whose name says the first digits of its SHA-256.

    Raises HarnessError where it can be had from nowhere or is not what its name says.
    """
    from filelock import FileLock

    name = url.rpartition("/")[2]
    digits = published_hash(url)
    path = Path(torch.hub.get_dir()) / "checkpoints" / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock"), _fetching(f"no {name} in {path.parent}", f"put it there, from {url}"):
            if not path.exists():
                torch.hub.download_url_to_file(url, str(path), digits, progress=False)
    if not sha256(path).startswith(digits):
        raise HarnessError(f"{path} is damaged: its SHA-256 does not begin with {digits}; delete it")
    return path


def require_url(url: str) -> None:
    """Raises HarnessError where `from_url` would: only asks for the file, where it is not in the cache."""
    name = url.rpartition("/")[2]
    path = Path(torch.hub.get_dir()) / "checkpoints" / name
    if path.exists():
        from_url(url)
        return
    published_hash(url)
    with _fetching(f"no {name} in {path.parent}", f"put it there, from {url}"):
        urlopen(Request(url, method="HEAD"), timeout=TIMEOUT_SECONDS).close()


def published_hash(url: str) -> str:
    """The first digits of the SHA-256 that the file's name says: f37072fd of resnet18-f37072fd.pth."""
    found = re.search(r"-([0-9a-f]{8,64})\.\w+$", url)
    if found is None:
        raise UsageError(f"weights at {url} are not used: the name says no hash to check them by")
    return found[1]


def from_hub(repository: str, *names: str) -> Path:
    """The first of these files that Hugging Face's cache folder has, or else the repository.

    What lies in the cache needs no network; files are named there by their SHA-256.
    Raises HarnessError where it can be had from nowhere or is damaged.
    """
    from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import RemoteEntryNotFoundError

    for name in names:
        cached = try_to_load_from_cache(repository, name)
        if isinstance(cached, str):
            return _intact(Path(cached))
    missing = f"no {names[0]} of {repository} in {constants.HF_HUB_CACHE}"
    remedy = f"where there is a network, run `hf download {repository} {names[0]}` and copy its folder there"
    with _fetching(missing, remedy):
        for name in names[:-1]:
            with suppress(RemoteEntryNotFoundError):
                return _intact(Path(hf_hub_download(repository, name)))
        return _intact(Path(hf_hub_download(repository, names[-1])))


def require_hub(repository: str, *names: str) -> None:
    """Raises HarnessError where `from_hub` would: only asks for the file, where none is in the cache."""
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
    from huggingface_hub.errors import RemoteEntryNotFoundError

    if any(isinstance(try_to_load_from_cache(repository, name), str) for name in names):
        from_hub(repository, *names)
        return
    remedy = f"where there is a network, run `hf download {repository} {names[0]}` and copy its folder there"
    with _fetching(f"no {names[0]} of {repository} in {constants.HF_HUB_CACHE}", remedy):
        for name in names:
            try:
                get_hf_file_metadata(hf_hub_url(repository, name), timeout=TIMEOUT_SECONDS)
                return
            except RemoteEntryNotFoundError:
                if name == names[-1]:
                    raise
            except (OSError, RuntimeError):
                raise
            except Exception as error:  # its client has errors of its own
                raise OSError(str(error)) from error


def _intact(path: Path) -> Path:
    """The path of a file in Hugging Face's cache, if the file that it links to has the SHA-256 of its name."""
    stored = path.resolve()
    if len(stored.name) == 64 and sha256(stored) != stored.name:
        raise HarnessError(f"{stored} is damaged: its SHA-256 is not its name; delete it")
    return path


@contextmanager
def _fetching(missing: str, remedy: str) -> Iterator[None]:
    """No endless wait, and one clear line where it fails."""
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT_SECONDS)
    talk = logging.getLogger("huggingface_hub")  # tells each of its attempts
    level = talk.level
    talk.setLevel(logging.ERROR)
    try:
        yield
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise HarnessError(f"{missing}, and it cannot be fetched ({reason}): {remedy}") from None
    finally:
        socket.setdefaulttimeout(timeout)
        talk.setLevel(level)


def sha256(path: Path) -> str:
    """Of a file's content, which is read once a process, and again after it has changed."""
    return _sha256(path, path.stat().st_mtime_ns)


@cache
def _sha256(path: Path, modified: int) -> str:
    return digest_of(path)
