"""What gc finds can go, and what it must never find."""

import os
import shlex
import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from harness.analysis.garbage import Leftover, at_rest, leftovers, remove
from harness.cli import run
from harness.data.images import Images
from harness.errors import StoreError
from harness.files import write_file
from harness.folds.tasks import fold_tasks
from harness.inference import index
from harness.inference.embedding import Embedder
from harness.inference.export import save_model
from harness.store.loaded_study import LoadedStudy
from harness.store.store import WEIGHTS, Store
from tests.inference.made_up_models import made
from tests.made_up_findings import final_test

OTHER = "f" * 40


def found(store: Store, *removed: str) -> dict[str, str]:
    """path below the store -> what it is."""
    return {str(one.path.relative_to(store.home)): one.what for one in without(store, *removed)}


def without(store: Store, *removed: str) -> list[Leftover]:
    """What can go with studies of these names."""
    return leftovers(store, [LoadedStudy.open(store, name) for name in removed])


def add_fold(store: Store, key: str) -> None:
    store.fold_folder(key).mkdir(parents=True)
    (store.fold_folder(key) / "result.json").write_text("{}")


def test_a_finished_study_needs_all_it_has(tuned: Store) -> None:
    assert found(tuned) == {}


def test_folds_that_no_record_names_can_go(tuned: Store) -> None:
    add_fold(tuned, OTHER)
    assert found(tuned) == {f"folds/{OTHER}": "fold that no study's trials need"}
    remove(tuned, leftovers(tuned))
    assert not tuned.fold_folder(OTHER).exists() and found(tuned) == {}
    assert all(tuned.read_fold(key) for trial in tuned.read_trials("small") for key in trial.folds)


def test_what_names_a_fold_with_halved_batches_stays_as_long_as_the_fold_is_needed(tuned: Store) -> None:
    needed = tuned.read_trials("small")[0].folds[0]
    tuned.write_substitute("e" * 40, needed)
    assert found(tuned) == {}
    tuned.write_substitute("e" * 40, OTHER)
    assert found(tuned) == {
        f"folds/{'e' * 40}.substitute": "name of a fold with halved batches that no study needs"
    }


def test_folds_of_findings_stay(tuned: Store) -> None:
    add_fold(tuned, OTHER)
    tuned.write_finding("small", final_test(refit=OTHER))
    assert found(tuned) == {}


def test_an_interrupted_trial_keeps_what_it_may_still_need(tuned: Store) -> None:
    record, trial = tuned.read_study("small"), tuned.read_trials("small")[1]
    assert record is not None
    tuned.write_trial("small", replace(trial, state="running", folds=(), scores=()))
    key = fold_tasks(record, trial)[1].key()
    assert key == trial.folds[1]
    tuned.checkpoint(OTHER).write_bytes(b"x")
    assert found(tuned) == {f"folds/{OTHER}.checkpoint": "checkpoint of a fold that nothing waits for"}
    tuned.fold_folder(key).rename(tuned.home / "elsewhere")
    tuned.checkpoint(key).write_bytes(b"half way")
    assert f"folds/{key}.checkpoint" not in found(tuned)


def test_a_study_goes_with_what_only_it_needs(tuned: Store) -> None:
    record = tuned.read_study("small")
    assert record is not None
    first, second = tuned.read_trials("small")
    tuned.write_study(replace(record, name="other"))
    tuned.write_trial("other", first)
    going = found(tuned, "small")
    assert going["studies/small"] == "study small"
    assert {path.partition("/")[2] for path in going if path.startswith("folds/")} == set(second.folds)
    remove(tuned, without(tuned, "small"))
    assert tuned.studies() == ["other"] and all(tuned.read_fold(key) for key in first.folds)


def test_nothing_is_deleted_while_a_study_runs(tuned: Store) -> None:
    add_fold(tuned, OTHER)
    refused = pytest.raises(StoreError, match="clean up when it has ended")
    with tuned.driving("small"), refused, at_rest(Store(tuned.home)):
        pass
    with tuned.in_use(), refused, at_rest(Store(tuned.home)):  # somebody confirms, say
        pass
    with at_rest(tuned):
        remove(tuned, leftovers(tuned, held=True))
    assert not tuned.fold_folder(OTHER).exists()


def test_who_was_killed_while_it_trained_keeps_nobody_from_clearing_away(tuned: Store) -> None:
    write_file(tuned.home / "users" / "1.killed.lock", b"")
    with at_rest(tuned):
        assert not list((tuned.home / "users").iterdir())


def test_a_study_begins_when_the_store_has_been_cleared_and_not_in_between(tuned: Store) -> None:
    begun = threading.Event()

    def begin() -> None:
        with Store(tuned.home).driving("new"):
            begun.set()

    thread = threading.Thread(target=begin)
    with at_rest(tuned):
        thread.start()
        assert not begun.wait(0.3) and not tuned.study_folder("new").exists()
    assert begun.wait(10)
    thread.join()


def test_files_of_killed_processes_can_go_once_they_are_old(tuned: Store) -> None:
    old, new = tuned.home / "folds" / ".a.tmp", tuned.home / "folds" / ".b.tmp"
    for path in (old, new):
        path.write_bytes(b"x")
    os.utime(old, (0, 0))
    assert found(tuned) == {"folds/.a.tmp": "left by a process that was killed"}


def test_images_of_no_study_can_go(tuned: Store) -> None:
    stray = tuned.home / "data" / ("0" * 64)
    stray.mkdir(parents=True)
    assert found(tuned) == {}, "it may be of a study that is about to begin"
    os.utime(stray, (0, 0))
    assert found(tuned) == {str(stray.relative_to(tuned.home)): "images of no study"}


def indexed(store: Store, folder: Path, *origins: str) -> str:
    """An index of one image, made by models of these origins; its place in the store."""
    folder.mkdir(exist_ok=True)
    Image.fromarray(np.full((8, 8, 3), 100, np.uint8)).save(folder / "one.png")
    embedder = Embedder(made("resnet"))
    for origin in origins:
        index.update(store.home, embedder, folder, model=origin)
    return str(index._place(store.home, embedder, folder).relative_to(store.home))


def test_test_images_stay_with_their_training_images_and_code_of_notebooks_can_go(tuned: Store) -> None:
    images = Images.open(tuned.home / "data" / LoadedStudy.open(tuned, "small").record.data["hash"])
    others = images.take(np.arange(20))
    tuned.keep_parts("a" * 64, images.take(np.arange(len(images))), others)
    tuned.keep_parts("b" * 64, others, others)
    write_file(tuned.home / "objects/0123/main/Net.py", b"")
    for path in (*tuned.home.glob("data/*"), *tuned.home.glob("objects/*")):
        os.utime(path, (0, 0))
    assert set(found(tuned)) == {
        f"data/{others.content_hash}", f"data/{others.content_hash}.{'b' * 64}", "objects/0123",
    }  # fmt: skip


def test_an_index_stays_with_its_folder_and_one_of_its_models(tuned: Store, tmp_path: Path) -> None:
    key = tuned.read_trials("small")[0].folds[0]
    (tuned.fold_folder(key) / WEIGHTS).write_bytes(b"x")
    exported, photos = tmp_path / "exported", tmp_path / "my photos"
    save_model(exported, made("resnet"), study="small", trial=0)
    place = indexed(tuned, photos, f"folder {exported}", f"folds {key}", f"folds {key} {OTHER}")
    assert found(tuned) == {}
    assert found(tuned, "small").get(place) is None
    shutil.rmtree(exported)
    assert found(tuned) == {}
    assert found(tuned, "small")[place] == "index by a model that is gone"
    (tuned.fold_folder(key) / WEIGHTS).unlink()
    assert found(tuned) == {place: "index by a model that is gone"}
    indexed(tuned, photos, "models:/small@champion")
    assert found(tuned) == {}
    shutil.rmtree(photos)
    assert found(tuned) == {place: "index of a folder that is gone"}
    remove(tuned, leftovers(tuned))
    assert list((tuned.home / "similar").iterdir()) == [] and found(tuned) == {}


def test_an_index_that_cannot_be_read_or_names_no_model_stays(tuned: Store, tmp_path: Path) -> None:
    place = indexed(tuned, tmp_path / "photos", "")
    assert found(tuned) == {}
    (tuned.home / place / index.DOCUMENT).write_text("{")
    assert found(tuned) == {}


def test_the_sizes_are_those_on_disk(tuned: Store, tmp_path: Path) -> None:
    add_fold(tuned, OTHER)
    (leftover,) = leftovers(tuned)
    assert leftover.bytes == 2


@pytest.mark.parametrize("deaths", [1, 4, 8, 12])
def test_who_is_killed_while_it_deletes_goes_on_by_the_same_command(
    tuned: Store, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], deaths: int
) -> None:
    shutil.copy(home / "mlflow.db", tuned.home)
    assert run(["gc", "small", "--home", str(tuned.home)]) == 0
    told = capsys.readouterr().out
    command = shlex.split(told[told.index("harness gc") : told.index(" deletes them")])[1:]
    assert command == ["gc", "small", "--yes", "--home", str(tuned.home)]

    class Killed(BaseException):
        pass

    with monkeypatch.context() as patched:
        real, times = os.unlink, iter(range(100))

        def dying(*args: Any, **options: Any) -> None:
            if str(args[0]).endswith((".json", ".npz", ".npy", ".copy", ".gz")) and next(times) >= deaths:
                raise Killed
            real(*args, **options)

        patched.setattr(os, "unlink", dying)
        with pytest.raises(Killed):
            run(command)
    assert run(command) == 0
    assert not tuned.study_folders() and not list((tuned.home / "folds").iterdir())
    assert not list((tuned.home / "studies").iterdir())
    capsys.readouterr()
    assert run(["gc", "--home", str(tuned.home)]) == 0 and "nothing to delete" in capsys.readouterr().out
