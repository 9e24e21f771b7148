"""The store on disk: fold records by the hash of their inputs, studies and trials by name and number.

    HOME/folds/<key>/result.json, oof.npz, weights.safetensors     a finished fold
    HOME/folds/<key>.checkpoint                                    an unfinished one
    HOME/folds/<key>.substitute                                    the key of the one that memory sufficed for
    HOME/studies/<name>/study.json, split.npz, trials/00003.json   a study and its trials
    HOME/studies/<name>/study.json.copy                            read where the study's record is damaged or gone
    HOME/studies/<name>/snapshot.json.gz                           the files that it began with
    HOME/studies/<name>/audit.json, confirm.json, …                what was found out about it
    HOME/deleted/<name>.<id>/                                      of a deleted study, until MLflow and Optuna know it
    HOME/data/<hash>/                                              images as workers map them into memory
    HOME/data/<hash>.<key>/                                        test images of those, where they may change elsewhere
    HOME/objects/<hash>/main/<name>.py                             code of a notebook, as processes import it
    HOME/store.lock, users/                                        see study_lock.py

Finished records are never changed; whoever finds one damaged treats it as missing and makes it again.
"""

import logging
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness import invocation
from harness.config.settings import expanded
from harness.data import stored
from harness.data.images import Images
from harness.data.snapshot import Snapshot
from harness.data.split import Manifest
from harness.documents import from_json
from harness.documents import to_json as document_json
from harness.errors import DataError, NewerRecord, RecordError, StoreError
from harness.files import (
    clear_way,
    digest,
    digest_of,
    entries,
    link_folder,
    read_json,
    remove,
    sealed_json,
    write_file,
    write_folder,
    write_json,
)
from harness.os_errors import explaining, require_about_the_file
from harness.records import (
    FoldRecord,
    StudyRecord,
    TrialRecord,
    fold_from_json,
    study_from_json,
    to_json,
    trial_from_json,
)
from harness.scoring.standard_errors import with_half_width
from harness.store import study_lock
from harness.store.findings import AnyFinding, Finding
from harness.store.predictions import PREDICTIONS, packed, scored

if TYPE_CHECKING:
    from harness.data.data_set import DataSet, SealedPart

logger = logging.getLogger(__name__)
SNAPSHOT = "snapshot.json.gz"  # of a study's data
SPLIT = "split.npz"
TUNE_HEALS = "run tune again, which makes it anew"
RECORD, RECORD_COPY = "study.json", "study.json.copy"
WEIGHTS = "weights.safetensors"
KEY = re.compile(r"\w[\w.-]{0,99}", re.ASCII)
PLACE_ATTEMPTS = 5


class Store:
    """Everything below one home folder, made when it is first written to."""

    def __init__(self, home: Path):
        self.home = expanded(home).absolute()

    def study_folder(self, name: str) -> Path:
        return self.home / "studies" / name

    def read_snapshot(self, name: str) -> Snapshot | None:
        """The files that a study began with; None of one of an earlier release. Raises DataError if damaged."""
        path = self.study_folder(name) / SNAPSHOT
        try:
            return Snapshot.load(path) if path.exists() else None
        except DataError as error:
            raise DataError(f"{error}; {TUNE_HEALS}") from None

    def write_snapshot(self, name: str, snapshot: Snapshot) -> None:
        path = self.study_folder(name) / SNAPSHOT
        clear_way(path)
        snapshot.save(path)

    def read_split(self, study: StudyRecord) -> Manifest:
        """The split of a study. Raises DataError for one that is gone, damaged or not the record's."""
        path, num_images = self.study_folder(study.name) / SPLIT, study.data["num_images"]
        try:
            split = Manifest.load(path, 100 * num_images + 2**20)
        except DataError as error:
            raise DataError(f"{error}; {TUNE_HEALS}") from None
        if not _fits(split, study):
            raise DataError(f"{path}: damaged: it is no split of {num_images} images; {TUNE_HEALS}")
        if split.hash != study.split_hash:
            raise DataError(f"{path}: damaged: it is not the split of the record; {TUNE_HEALS}")
        return split

    def write_split(self, name: str, split: Manifest) -> None:
        path = self.study_folder(name) / SPLIT
        clear_way(path)
        split.save(path)

    def studies(self) -> list[str]:
        """The names of all studies here that have trained something. Raises StoreError where that may not be read."""
        return [name for name in self.study_folders() if self.has_study(name)]

    def study_folders(self) -> list[str]:
        """The names of all studies, of those too that have trained nothing yet: what they need lies in a folder.

        Raises StoreError where that may not be read.
        """
        with explaining(self.home / "studies"):
            folders = [folder for folder in entries(self.home / "studies") if folder.is_dir()]
            return [folder.name for folder in folders if not folder.name.startswith(".")]  # being deleted

    def has_study(self, name: str) -> bool:
        """Whether there is a study of that name. Raises StoreError where that may not be read."""
        with explaining(self.home / "studies"):
            return any((self.study_folder(name) / file).exists() for file in (RECORD, RECORD_COPY))

    # Folds

    def fold_folder(self, key: str) -> Path:
        """Raises RecordError for what is no key: a record that came from elsewhere may hold `../..`."""
        if not KEY.fullmatch(key):
            raise RecordError(f"{self.home / 'folds'}: {key[:80]!r} is no fold's key")
        return self.home / "folds" / key

    def checkpoint(self, key: str) -> Path:
        return self.fold_folder(key).with_name(f"{key}.checkpoint")

    def write_fold(
        self, record: FoldRecord, predictions: Mapping[str, np.ndarray], weights: Mapping[str, np.ndarray]
    ) -> FoldRecord:
        """Keep a finished fold, and drop its checkpoint. The returned record knows its folder and hashes.

        predictions: as `predictions.packed` takes them.
        """
        from safetensors.numpy import save

        files = {PREDICTIONS: packed(predictions), WEIGHTS: save(dict(weights))}
        folder = self.fold_folder(record.key)
        record = replace(
            record, hashes={name: digest(content) for name, content in files.items()}, folder=folder
        )
        known = self._place(record, {**files, "result.json": sealed_json(to_json(record))})
        remove(self.checkpoint(record.key))
        return known

    def _place(self, record: FoldRecord, content: dict[str, bytes]) -> FoldRecord:
        """The fold's record in the store: this one, or that of a process that was quicker with the same fold."""
        for _ in range(PLACE_ATTEMPTS):
            try:
                write_folder(record.folder, content)
            except FileExistsError:
                known = self.read_fold(record.key)
                if known is None:  # damaged
                    remove(record.folder)
                    continue
                if known.hashes == record.hashes:  # theirs may have lost its weights
                    write_file(record.folder / WEIGHTS, content[WEIGHTS])
                return known
            return record
        raise StoreError(
            f"{record.folder}: damaged, and cannot be replaced; delete it and run the same command again"
        )

    def read_fold(self, key: str) -> FoldRecord | None:
        """The fold of that key, or None if it has not been trained or its record is damaged.

        Weights may be gone (retention); everything that is there must match its hash. Raises NewerRecord, and
        StoreError where the record may not be read, which says nothing about it.
        """
        try:
            folder = self.fold_folder(key)
            record = self._fold_record(key)
            for name, expected in record.hashes.items():
                if name == WEIGHTS and not (folder / name).exists():
                    continue
                if digest_of(folder / name) != expected:
                    raise RecordError(f"{folder / name}: damaged: its content does not match its hash")
            return scored(record)
        except FileNotFoundError:
            return None
        except NewerRecord as error:
            raise NewerRecord(f"{folder}: {error}") from None
        except (RecordError, OSError, ValueError) as error:
            require_about_the_file(error, self.home / "folds" / key)
            logger.warning("fold %s: %s; it is trained again", key, error)
            return None

    def read_fold_record(self, key: str) -> FoldRecord | None:
        """As `read_fold`, but what lies beside the record is not looked at: whoever reads it checks its hash."""
        try:
            return scored(self._fold_record(key))
        except FileNotFoundError:
            return None
        except NewerRecord as error:
            raise NewerRecord(f"{self.fold_folder(key)}: {error}") from None
        except (RecordError, OSError, ValueError) as error:
            logger.warning("fold %s: %s; tune trains it again", key, error)
            return None

    def _fold_record(self, key: str) -> FoldRecord:
        folder = self.fold_folder(key)
        record = fold_from_json(read_json(folder / "result.json"), folder=folder)
        if record.key != key or not record.hashes.keys() <= {PREDICTIONS, WEIGHTS}:
            raise RecordError(f"{folder}: damaged: it is not the record of this fold")
        return record

    def substitute(self, key: str) -> str | None:
        """The key of the fold that is trained in place of this one, for which memory did not suffice."""
        try:
            found = read_json(self._substitute_path(key))["key"]
        except (OSError, RecordError, KeyError):
            return None
        return found if isinstance(found, str) else None

    def write_substitute(self, key: str, other: str) -> None:
        write_json(self._substitute_path(key), {"key": other})

    def find_fold(self, key: str) -> FoldRecord | None:
        """The fold of a task's key, or the one that was trained in its place: its record has its own key."""
        found = self.read_fold(key)
        if found is None and (other := self.substitute(key)):
            return self.read_fold(other)
        return found

    def _substitute_path(self, key: str) -> Path:
        return self.fold_folder(key).with_name(f"{key}.substitute")

    def drop_weights(self, keys: Sequence[str]) -> None:
        for key in keys:
            remove(self.fold_folder(key) / WEIGHTS)

    # Images

    def keep_images(self, images: Images) -> Path:
        """A folder that other processes can map the images from; written unless they lie in one already."""
        if images.path is not None:
            return images.path
        folder = self.home / "data" / images.content_hash
        self._keep(images, folder)
        return folder

    def keep_data(self, data: "DataSet") -> Path:
        """Keep what a study begins with, so that it goes on whatever becomes of it elsewhere; as `keep_images`.

        Images that are on disk are linked, or copied where that cannot be.
        """
        return self.keep_both(data.train, data.test) if data.may_change else self.keep_images(data.train)

    def keep_both(self, train: Images, test: "SealedPart") -> Path:
        """Keep both parts, as `keep_data` does; the folder of the training images."""
        folder = self.home / "data" / train.content_hash
        self._keep(train, folder)
        self._keep(test, self.test_folder(train.content_hash, test.hash))
        return folder

    def has_both(self, train: str, test: str) -> bool:
        """Whether both parts of these hashes are kept, and whole."""
        folders = {self.home / "data" / train: train, self.test_folder(train, test): test}
        return all(_holds(folder, content) for folder, content in folders.items())

    def test_folder(self, train: str, test: str) -> Path:
        """Where the test images are kept, by the hashes of both parts."""
        return self.home / "data" / f"{train}.{test}"

    def _keep(self, images: "Images | SealedPart", folder: Path) -> None:
        content = images.content_hash if isinstance(images, Images) else images.hash
        if images.path == folder:
            return
        if _holds(folder, content):
            with suppress(OSError):
                os.utime(folder)  # it is wanted again
            return
        remove(folder)  # damaged
        if images.path is None:
            images.save(folder)
        else:
            link_folder(images.path, folder)

    def keep_parts(self, key: str, train: Images, test: Images) -> None:
        """Keep both parts of a data set that is nowhere else, for `data/stored.py`."""
        self.keep_images(train)
        folder = self.home / "data" / f"{train.content_hash}.{key}"
        if not _holds(folder, test.content_hash):
            remove(folder)
            test.save(folder)

    def has_parts(self, key: str) -> bool:
        """Whether both parts of it are kept, and whole."""
        folders = [stored.folder(self.home / "data", key, part) for part in ("train", "test")]
        return all(folder is not None and _holds(folder) for folder in folders)

    def read_images(self, content_hash: str) -> Images | None:
        """Images that lie in the store itself, e.g. because they came with a bundle; None if they do not."""
        try:
            images = Images.open(self.home / "data" / content_hash)
        except (DataError, OSError):
            return None
        return images if images.content_hash == content_hash else None

    # Studies and trials

    def write_study(self, record: StudyRecord) -> None:
        for file in (RECORD, RECORD_COPY):
            write_json(self.study_folder(record.name) / file, to_json(record))

    def read_study(self, name: str) -> StudyRecord | None:
        """The study of that name, or None if there is none; by the record's copy where the record is damaged or gone.

        Raises RecordError where both are damaged, and for a newer one.
        """
        problem: RecordError | None = None
        for file in (RECORD, RECORD_COPY):
            path = self.study_folder(name) / file
            try:
                record = study_from_json(read_json(path))
            except FileNotFoundError:
                continue
            except NewerRecord as error:
                raise NewerRecord(f"{path}: {error}") from None
            except RecordError as error:
                said = str(error) if str(path) in str(error) else f"{path}: damaged: {error}"
                problem = problem or RecordError(f"{said}; {TUNE_HEALS}")
                continue
            if file == RECORD_COPY:
                why = problem or f"{path.with_name(RECORD)}: is gone; {TUNE_HEALS}"
                logger.warning("%s; until then its copy is read", why)
            return self._called(record, name)
        if problem is not None:
            raise problem
        return None

    def records(self) -> Iterator[StudyRecord]:
        """Of all studies, but for those whose record cannot be read."""
        for name in self.studies():
            with suppress(RecordError):
                if (record := self.read_study(name)) is not None:
                    yield record

    def _called(self, record: StudyRecord, name: str) -> StudyRecord:
        """The record of a study that lies in the folder `name`, which is what it is called.

        Where its folder had another name when it was written, it was renamed; or copied, and is another study then.
        """
        if name == record.name:
            return record
        before, folder = self.study_folder(record.name), self.study_folder(name)
        with suppress(OSError):
            if before.samefile(folder):  # by a link, or in other letters
                return record
        with suppress(OSError, RecordError, StoreError):
            other = study_from_json(read_json(before / RECORD))
            if (other.created, other.seed) == (record.created, record.seed):
                return replace(record, name=name, names=())
        return replace(record, name=name, names=record.all_names)

    def write_trial(self, study: str, record: TrialRecord) -> None:
        write_json(self.study_folder(study) / "trials" / f"{record.number:05d}.json", to_json(record))

    def read_trials(self, study: str) -> list[TrialRecord]:
        """All trials of a study, by number; a damaged one and all after it are left out and made again."""
        trials: list[TrialRecord] = []
        paths = entries(self.study_folder(study) / "trials")
        for path in (path for path in paths if path.match("[!.]*.json")):
            try:
                trials.append(with_half_width(trial_from_json(read_json(path))))
            except NewerRecord as error:
                raise NewerRecord(f"{path}: {error}") from None
            except RecordError as error:
                logger.warning("%s: %s; the trial is made again from its folds", path, error)
                break
        return [trial for number, trial in enumerate(trials) if trial.number == number]

    def reopen_failed(self, study: str) -> None:
        """Have failed trials tried again: as if they had been asked for and not begun."""
        for trial in self.read_trials(study):
            if trial.state == "failed":
                fresh = TrialRecord(trial.number, "running", trial.params, trial.values)
                self.write_trial(study, fresh)

    def start_over(self, study: str) -> None:
        """Forget a study's trials and all that was found out about it and shown of it; its folds stay."""
        folder = self.study_folder(study)
        shutil.rmtree(folder / "trials", ignore_errors=True)
        for path in folder.glob("*.json"):
            if path.name not in ("study.json", "holder.json"):
                path.unlink()

    # What was found out about a study as a whole

    def write_finding(self, study: str, finding: Finding) -> None:
        write_json(self.study_folder(study) / f"{finding.kind}.json", document_json(finding))

    def read_finding(self, study: str, kind: type[AnyFinding]) -> AnyFinding | None:
        """The last finding of that type, or None. Raises RecordError for a damaged or newer one."""
        command = "tune" if kind.kind == "honest" else kind.kind
        advice = f"{invocation.command(command, study, home=self.home)} makes it anew"
        path = self.study_folder(study) / f"{kind.kind}.json"
        try:
            return from_json(kind, read_json(path))
        except FileNotFoundError:
            return None
        except NewerRecord as error:
            raise NewerRecord(f"{path}: {error}") from None
        except RecordError as error:
            said = str(error) if str(path) in str(error) else f"{path}: damaged: {error}"
            raise RecordError(f"{said}; {advice}") from None

    @contextmanager
    def driving(self, study: str) -> Iterator[None]:
        """Hold the study: there is one driver at a time. Raises StoreError that names the holder."""
        with ExitStack() as stack:
            with study_lock.alone(self.home):
                stack.enter_context(study_lock.driving(self.study_folder(study)))
            yield

    @contextmanager
    def staying(self, study: str) -> Iterator[None]:
        """Keep the study as it is while it is read; nothing is written. Raises StoreError where somebody drives it."""
        with study_lock.staying(self.study_folder(study)):
            yield

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep what is trained beside drivers, to confirm a study say, until a record names it."""
        with ExitStack() as stack:
            with study_lock.alone(self.home):
                stack.enter_context(study_lock.using(self.home))
            yield

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the store, to look at what there is and change it: no driver begins meanwhile."""
        with study_lock.alone(self.home):
            yield

    @contextmanager
    def unused(self) -> Iterator[None]:
        """Hold the store while nobody trains there. Raises StoreError that names who does."""
        with study_lock.alone(self.home), ExitStack() as stack:
            for name in self.study_folders():
                stack.enter_context(study_lock.driving(self.study_folder(name)))
            study_lock.require_unused(self.home)
            yield

    @contextmanager
    def resting(self, studies: Sequence[str]) -> Iterator[list[str]]:
        """Hold the store while nobody drives these studies or trains beside; yields the others that are driven.

        Raises StoreError that names who works on them.
        """
        with study_lock.alone(self.home), ExitStack() as stack:
            for name in filter(self.has_study, studies):
                stack.enter_context(study_lock.driving(self.study_folder(name)))
            study_lock.require_unused(self.home)
            yield [name for name in self.study_folders() if name not in studies and self.is_driven(name)]

    def is_driven(self, study: str) -> bool:
        """Whether a process is working on the study right now."""
        return study_lock.is_driven(self.study_folder(study))


def _fits(split: Manifest, study: StudyRecord) -> bool:
    """Whether a split has as many images and folds as the study, and no others."""
    count, folds = study.data["num_images"], split.by_repeat
    return (
        split.image_hashes.shape == (count, 16)
        and split.labels.shape == split.groups.shape == (count,)
        and folds.shape == (count, study.repeats)
        and split.num_folds == study.num_folds
        and split.data_hash == study.data["hash"]
        and bool(((folds >= -study.is_hold_out) & (folds < split.num_folds)).all())
        and bool(((split.labels >= 0) & (split.labels < len(study.data["classes"]))).all())
    )


def _holds(folder: Path, content_hash: str | None = None) -> bool:
    """Whether images lie there as they were saved; where a hash is given, those of that content."""
    try:
        images = Images.open(folder).verified()
    except (DataError, OSError):
        return False
    return content_hash in (None, images.content_hash)


def valid_name(name: str) -> bool:
    """Whether a study may be called so: it becomes a folder's name."""
    is_plain = re.fullmatch(r"[\w][\w .+-]{0,99}", name) is not None and not name.endswith((".", " "))
    return is_plain and len(name.encode()) <= 200
