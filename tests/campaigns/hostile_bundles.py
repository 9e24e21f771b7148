"""Hostile bundles: members outside, links, devices, bombs, doubles, wrong hashes, and records that lie."""

import io
import json
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from harness.analysis import bundle
from harness.errors import RecordError
from harness.files import digest, sealed_json
from harness.records import to_json
from harness.store.store import Store
from tests.campaigns.hostile_arrays import STUDY, lies, study_of

Files = dict[str, bytes]
KEY = "ef" * 20
MODES = {
    "symbolic link": stat.S_IFLNK,
    "device": stat.S_IFCHR,
    "block device": stat.S_IFBLK,
    "pipe": stat.S_IFIFO,
}


def bundles(folder: Path, payloads: Files) -> Iterator[tuple[str, Callable[[], object]]]:
    """(what it is, importing it into a store of its own); what is imported must be inert."""
    place = folder / "bundles"
    place.mkdir()
    for number, (label, content) in enumerate([*_all(folder, payloads), *_tarred()]):
        path = place / f"{number}.zip"
        path.write_bytes(content)
        store = Store(folder / "store" / f"bundle {number}")
        lenient = label.startswith("byte")  # some bytes of an archive mean nothing
        yield (
            f"bundle, {label}",
            lambda path=path, store=store, lenient=lenient: _import(store, path, lenient),
        )  # type: ignore[misc]
    harmless = study_of()
    harmless |= {f"study/{name.replace(' ', '-')}.pkl": content for name, content in payloads.items()}
    harmless |= {
        f"folds/{KEY}/{name}": payloads["pickle"] for name in ("result.json", "oof.npz")
    }  # of no trial
    store = Store(folder / "store" / "inert")
    for kind, mode in MODES.items():
        (place / "inert.zip").write_bytes(_zipped(harmless, mode=mode))
        yield f"bundle, payloads as a {kind}", lambda: _import_inert(store, place / "inert.zip")


def _import_inert(store: Store, path: Path) -> object:
    """What of it became more than a file, or was taken for a fold."""
    assert bundle.read(store, path) == STUDY
    odd = [one for one in store.home.rglob("*") if one.is_symlink() or not (one.is_file() or one.is_dir())]
    taken = store.read_fold(KEY)
    shutil.rmtree(store.home)
    return odd or taken


def _import(store: Store, path: Path, lenient: bool) -> object:
    """Whether it was taken; lenient: and is another. AssertionError where something of what was refused stays."""
    try:
        record = bundle.read(store, path)
        return not lenient or record != STUDY
    except RecordError:
        left = sorted(str(one) for one in store.home.rglob("*"))
        assert not left, left
        raise


def _all(folder: Path, payloads: Files) -> Iterator[tuple[str, bytes]]:
    good = study_of()
    for label, files in lies():
        yield label, _zipped(files)
    for name in (
        "../../../outside/x", "study/../../../../outside/x", str(folder / "outside" / "x"), "study/..", "folds/../x",
        f"folds/{KEY}/../../x", "study\\..\\x", "study/a\0b", "images/..", "study/a/b/c", "study/ａ", "", "/", "study/",
        "C:\\x",
    ):  # fmt: skip
        yield f"member {name!r:.40}", _zipped(good | {name: b"x"})
    for kind, mode in MODES.items():
        yield kind, _zipped(good | {"study/link": b"/etc/passwd"}, mode=mode, listed={"study/link": b""})
    yield "file and folder", _zipped(good | {"study/a": b"x", "study/a/b": b"x"})
    yield "wrong hash", _zipped(good, listed={"study/study.json": b"x" * len(good["study/study.json"])})
    yield "not there", _zipped(good, listed=good | {"study/more": b""})
    yield "larger than said", _zipped(good | {"study/zeros": bytes(2**22)}, listed={"study/zeros": b""})
    yield "doubles", _zipped(good, doubled={"study/study.json": b"{}"})
    yield "no study", _zipped({"study/notes": b"x"})
    for label, entry in {"bomb": 2**50, "negative": -1, "text": "5", "no size": None, "float": 1e300}.items():
        files = {"study/study.json": {"bytes": entry, "sha256": digest(b"")}}
        yield f"size, {label}", _zipped(good, manifest={"format": 1, "study": "s", "files": files})
    bomb = {"study/study.json": {"bytes": 2**30, "sha256": digest(b"")}}
    yield "bomb that fits", _zipped(good, manifest={"format": 1, "study": "s", "files": bomb})
    for changes in (
        {"files": []},
        {"study": "../x"},
        {"study": 5},
        {"study": "\0"},
        {"format": "1"},
        {"files": {"a": 1}},
    ):
        yield f"manifest, {changes}", _zipped(good, changes=changes)
    document = to_json(STUDY)
    for record in (
        {**document, "data": 5},
        {"name": "s"},
        {**document, "run": "os"},
        {**document, "seed": "x"},
    ):
        yield f"record, {sorted(record)[:3]}", _zipped(good | {"study/study.json": sealed_json(record)})
    for label, content in payloads.items():
        yield f"study of {label}", _zipped(good | {"study/study.json": content})
        yield f"file of {label}", content
    yield "other images", _zipped(good | {"images/pixels.npy": payloads["npy"], "images/meta.json": b"{}"})
    whole = _zipped(good)
    for place in range(40, len(whole), len(whole) // 30):
        yield f"byte {place}", whole[:place] + bytes([whole[place] ^ 0x5A]) + whole[place + 1 :]
    yield "cut", whole[: len(whole) // 2]
    yield "password", whole.replace(b"PK\x01\x02\x14\x03\x14\0\0\0", b"PK\x01\x02\x14\x03\x14\0\x01\0")


def _zipped(
    files: Files, *, manifest: Any = None, listed: Files | None = None, changes: dict[str, Any] | None = None,
    doubled: Files | None = None, mode: int = 0,
) -> bytes:  # fmt: skip
    """A bundle. manifest: instead of its own.   listed: contents that it tells of other files.   mode: of the last."""
    told = {**files, **(listed or {})}
    entries = {name: {"bytes": len(content), "sha256": digest(content)} for name, content in told.items()}
    head = manifest or {"format": 1, "study": "s", "files": entries} | (changes or {})
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(bundle.MANIFEST, json.dumps(head))
        for name, content in [*files.items(), *(doubled or {}).items()]:
            member = zipfile.ZipInfo(name)
            member.external_attr = (mode | 0o777) << 16
            archive.writestr(member, content)
    return buffer.getvalue()


def _tarred() -> Iterator[tuple[str, bytes]]:
    """Tars are no bundles, whatever is in them."""
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.REGTYPE):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
            member = tarfile.TarInfo("../../outside/x")
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
        yield f"tar {kind!r}", buffer.getvalue()
