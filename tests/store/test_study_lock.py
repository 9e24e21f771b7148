"""Whether a study is driven can be asked by anybody, and asking leaves no trace."""

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import StoreError
from harness.store import study_lock
from harness.store.store import Store
from tests.read_only import read_only, tree


def test_looking_leaves_no_trace(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.driving("s"):
        before = tree(tmp_path)
        assert store.is_driven("s") and not store.is_driven("other")
        assert tree(tmp_path) == before
    before = tree(tmp_path)
    assert not store.is_driven("s") and not store.is_driven("other")
    assert tree(tmp_path) == before


def test_who_looks_is_taken_for_a_driver_by_nobody(tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    store = Store(tmp_path)
    with store.driving("s"):
        pass
    with (store.study_folder("s") / "lock").open() as looked_at:
        fcntl.flock(looked_at, fcntl.LOCK_SH)  # another one's look that takes its time
        assert not store.is_driven("s")


def test_where_the_lock_may_not_be_read_the_last_holder_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    store = Store(tmp_path)
    with store.driving("s"):
        monkeypatch.setattr(study_lock, "_is_locked", refuse)
        assert store.is_driven("s")
    assert not store.is_driven("s")


def test_a_full_disk_keeps_nobody_from_holding_a_study_to_make_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StoreError("full")

    monkeypatch.setattr(study_lock, "write_json", full)
    with Store(tmp_path).driving("s"):
        assert Store(tmp_path).is_driven("s")


def test_a_read_only_store_tells_whether_it_is_driven_and_is_driven_by_nobody(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from harness.store.store import Store\n"
        "from harness.errors import StoreError\n"
        "store = Store(Path(sys.argv[1])); print(store.is_driven('s'), store.is_driven('new'))\n"
        "for name in ('s', 'new'):\n"
        "    try:\n"
        "        with store.driving(name): print('driven')\n"
        "    except StoreError as error: print(error)"
    )
    store = Store(tmp_path)
    command = read_only(tmp_path, [sys.executable, "-c", code, str(tmp_path)])

    def told() -> list[str]:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return (done.stdout + done.stderr).splitlines()

    with store.driving("s"):
        assert told()[0] == "True False"
    advice = "Read-only file system; nothing can be written there; choose another place"
    assert told() == [
        "False False",
        *[f"{tmp_path / 'store.lock'}: {advice}"] * 2,
    ]


def test_who_reads_a_study_keeps_it_from_being_driven_and_leaves_no_trace(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    store = Store(tmp_path)
    with (
        store.driving("s"),
        pytest.raises(StoreError, match="is being driven or deleted by process"),
        store.staying("s"),
    ):
        pass
    before = tree(tmp_path)
    with store.staying("s"), store.staying("s"):
        assert tree(tmp_path) == before and not store.is_driven("s")
        with pytest.raises(StoreError, match="by another process, which bundles it say"), store.driving("s"):
            pass
    with store.driving("s"), store.staying("never begun"):
        pass


@pytest.mark.parametrize("hold", ["driving", "in_use"])
def test_a_file_that_cannot_be_removed_keeps_no_lock(
    hold: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a file system that has become damaged meanwhile: what was trained is kept, so the command has succeeded."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    store = Store(tmp_path)
    with monkeypatch.context() as patch:
        held = store.driving("s") if hold == "driving" else store.in_use()
        with held:
            patch.setattr(Path, "unlink", refuse)
    assert not store.is_driven("s")
    with store.alone():
        study_lock.require_unused(tmp_path)
