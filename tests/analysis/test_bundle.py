"""A bundle carries a whole study elsewhere, and a file that is no intact bundle changes nothing."""

import json
import os
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.analysis import bundle
from harness.analysis.leaderboard import status
from harness.documents import to_json
from harness.errors import RecordError, UsageError
from harness.files import write_json
from harness.folds.train_folds import workplace_of
from harness.store.loaded_study import LoadedStudy
from harness.store.store import Store


@pytest.fixture
def packed(tuned: Store, tmp_path: Path) -> Path:
    bundle.write(LoadedStudy.open(tuned, "small"), tmp_path / "study.zip", with_images=False)
    return tmp_path / "study.zip"


def board(store: Store, name: str) -> dict[str, object]:
    """The leaderboard without what differs between two machines."""
    document = to_json(status(LoadedStudy.open(store, name)))
    trials = [{**trial, "mlflow_run_id": ""} for trial in document["trials"]]
    return {**document, "trials": trials, "pending": None}


def changed(packed: Path, target: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """The bundle with other files in it."""
    with zipfile.ZipFile(packed) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    change(files)
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return target


def test_elsewhere_the_leaderboard_and_the_folds_are_the_same(
    tuned: Store, packed: Path, tmp_path: Path
) -> None:
    elsewhere = Store(tmp_path / "elsewhere")
    record = bundle.read(elsewhere, packed)
    assert record == tuned.read_study("small")
    assert board(elsewhere, "small") == board(tuned, "small")
    best = next(trial for trial in elsewhere.read_trials("small") if trial.state == "complete")
    for key in best.folds:
        ours, theirs = (store.read_fold(key) for store in (tuned, elsewhere))
        assert ours is not None and theirs is not None and ours.hashes == theirs.hashes
    assert not list(elsewhere.home.glob(".import-*"))


def test_importing_again_changes_nothing_and_another_study_of_the_name_is_refused(
    tuned: Store, packed: Path, tmp_path: Path
) -> None:
    elsewhere = Store(tmp_path / "elsewhere")
    bundle.read(elsewhere, packed)
    assert bundle.read(elsewhere, packed).name == "small"
    assert bundle.read(elsewhere, packed, name="copy").name == "copy"
    assert elsewhere.studies() == sorted(["small", "copy"])
    record = elsewhere.read_study("small")
    assert record is not None

    elsewhere.write_study(replace(record, seed=record.seed + 1))
    with pytest.raises(UsageError, match="--as NAME"):
        bundle.read(elsewhere, packed)


@pytest.mark.parametrize(
    "name", ["../outside", "/etc/x", "folds/short/x", "study/../../x", "other/file", "study/a b"]
)
def test_a_file_with_an_unexpected_name_is_refused(packed: Path, tmp_path: Path, name: str) -> None:
    def add(files: dict[str, bytes]) -> None:
        manifest = json.loads(files[bundle.MANIFEST])
        manifest["files"][name] = {"bytes": 1, "sha256": bundle.digest(b"x")}
        files[bundle.MANIFEST] = json.dumps(manifest).encode()
        files[name] = b"x"

    hostile = changed(packed, tmp_path / "hostile.zip", add)
    with pytest.raises(RecordError, match="unexpected name"):
        bundle.read(Store(tmp_path / "elsewhere"), hostile)
    assert not (tmp_path / "elsewhere").exists() and not (tmp_path / "outside").exists()


def test_a_changed_byte_is_noticed_and_nothing_imported(packed: Path, tmp_path: Path) -> None:
    def flip(files: dict[str, bytes]) -> None:
        name = next(name for name in files if name.endswith("oof.npz"))
        files[name] = bytes([files[name][0] ^ 1]) + files[name][1:]

    damaged = changed(packed, tmp_path / "damaged.zip", flip)
    elsewhere = Store(tmp_path / "elsewhere")
    with pytest.raises(RecordError, match="nothing was imported"):
        bundle.read(elsewhere, damaged)
    assert not elsewhere.studies() and not (elsewhere.home / "folds").exists()


def test_a_file_that_is_larger_than_said_is_not_read_to_its_end(packed: Path, tmp_path: Path) -> None:
    def grow(files: dict[str, bytes]) -> None:
        name = next(name for name in files if name.endswith("result.json"))
        files[name] = b"0" * 50_000_000

    with pytest.raises(RecordError, match="nothing was imported"):
        bundle.read(Store(tmp_path / "elsewhere"), changed(packed, tmp_path / "bomb.zip", grow))


@pytest.mark.parametrize(
    "content", [b"", b"PK\x05\x06" + bytes(18), b"no archive", b"PK\x03\x04" + bytes(100)]
)
def test_what_is_no_bundle_is_said_so(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.zip").write_bytes(content)
    with pytest.raises(RecordError, match=r"x\.zip: not"):
        bundle.read(Store(tmp_path / "elsewhere"), tmp_path / "x.zip")


@pytest.mark.parametrize(
    "manifest",
    ["[]", "{}", '{"format": 1, "files": {"study/a": 3}}', "[" * 100_000, '{"format": 9, "files": {}}'],
)
def test_a_manifest_of_another_shape_is_refused(tmp_path: Path, manifest: str) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(bundle.MANIFEST, manifest)
    with pytest.raises(RecordError):
        bundle.read(Store(tmp_path / "elsewhere"), tmp_path / "x.zip")


def test_images_can_come_with_it_and_are_used_where_the_data_set_is_not(tuned: Store, tmp_path: Path) -> None:

    bundle.write(LoadedStudy.open(tuned, "small"), tmp_path / "with.zip", with_images=True)
    elsewhere = Store(tmp_path / "elsewhere")
    record = bundle.read(elsewhere, tmp_path / "with.zip")
    gone = {**record.data, "settings": {"name": "folder", "root": str(tmp_path / "gone")}}

    workplace = workplace_of(elsewhere, replace(record, data=gone))
    images, _, _ = workplace.open()
    assert images.content_hash == record.data["hash"]
    shutil.rmtree(elsewhere.home / "data")
    with pytest.raises(Exception, match="gone"):
        workplace_of(elsewhere, replace(record, data=gone))


def test_files_without_a_date_can_be_bundled(tuned: Store, tmp_path: Path) -> None:
    """As some archives and containers leave them: 1970, before which zip files cannot reckon."""
    os.utime(tuned.study_folder("small") / "study.json", (0, 0))
    bundle.write(LoadedStudy.open(tuned, "small"), tmp_path / "study.zip", with_images=False)
    assert bundle.read(Store(tmp_path / "there"), tmp_path / "study.zip")


def test_a_damaged_fold_of_a_trial_is_told_with_what_makes_it_anew_and_another_one_left_out(
    tuned: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What no trial names, as a fold of an earlier confirmation, is trained again by whoever needs it."""
    study, other = LoadedStudy.open(tuned, "small"), "c" * 40
    shutil.copytree(tuned.fold_folder(study.trials[0].folds[0]), tuned.fold_folder(other))
    write_json(tuned.study_folder("small") / "confirm.json", {"fold": other})
    bundle.write(study, tmp_path / "study.zip", with_images=False)
    assert f"{other}: damaged, and left out" in caplog.text
    (tuned.fold_folder(study.trials[0].folds[0]) / "oof.npz").write_bytes(b"")
    with pytest.raises(RecordError, match="damaged; harness tune makes it anew"):
        bundle.write(LoadedStudy.open(tuned, "small"), tmp_path / "again.zip", with_images=False)
