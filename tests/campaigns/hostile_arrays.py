"""Studies as bundles have them, whose hashes and seals are right and whose numbers lie."""

import io
import json
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from harness import scoring
from harness.data.split import Manifest
from harness.files import digest, sealed_json
from harness.records import Epoch, FoldRecord, StudyRecord, TrialRecord, to_json
from harness.store.predictions import PREDICTIONS, packed

Files = dict[str, bytes]
Fields = dict[str, Any]
NUM, CLASSES, KEYS = 8, ["a", "b"], ("ab" * 20, "cd" * 20)
NUMBERS = np.arange(NUM)
SPLIT = Manifest(
    "d" * 64,
    2,
    0,
    np.arange(NUM * 16, dtype=np.uint8).reshape(NUM, 16),
    NUMBERS % 2,
    NUMBERS,
    NUMBERS // 2 % 2,
)
HELD_OUT = SPLIT.held_out(1)
STUDY = StudyRecord(
    "s",
    "",
    "data: {name: digits}\nmodel: {name: resnet}\n",
    {"search": {}, "cv": {"folds": 2}, "model": {"name": "resnet"}},
    "accuracy",
    "maximize",
    2,
    1,
    0,
    {
        "hash": "d" * 64,
        "num_images": NUM,
        "classes": CLASSES,
        "image_shape": [1, 8, 8],
        "settings": {"name": "digits"},
        "test": {"hash": "e" * 64, "num_images": 2},
    },
    SPLIT.hash,
    {"device": "cpu", "precision": "fp32", "channels_last": True, "threads": 1, "micro_batches": 1},
    {},
    1.0,
)
DATA = STUDY.data


def study_of(
    *,
    study: Fields | None = None,
    trial: Fields | None = None,
    fold: Fields | None = None,
    arrays: Fields | None = None,
    oof: bytes = b"",
    split: Manifest | bytes = SPLIT,
) -> Files:
    """A study of one trial of two folds; with other fields of its record, its trial, its second fold.

    arrays: other arrays of that fold, or oof: another file for them.
    """
    content: Files = {}
    scores = []
    for number, key in enumerate(KEYS):
        held_out = SPLIT.held_out(number)
        labels = SPLIT.labels[held_out]
        own: Fields = {"indices": held_out, "labels": labels}
        own["probabilities"] = np.full((len(held_out), 2), 0.5, np.float32)
        file = oof if oof and number else packed(own | (arrays or {} if number else {}))
        record = FoldRecord(
            key,
            number,
            {},
            (Epoch(1, 0.5, 0.5, 0.5, 0.5, 0.1, 1.0, 1.0),),
            1,
            scoring.score(labels, own["probabilities"]),
            ((2, 0), (2, 0)),
            10,
            1.0,
            1.0,
            {},
            {PREDICTIONS: digest(file)},
        )
        scores.append(record.metrics["accuracy"])
        document = to_json(record) | (fold or {} if number else {})
        content |= {f"folds/{key}/result.json": sealed_json(document), f"folds/{key}/oof.npz": file}
    mean = float(np.mean(scores))
    first = TrialRecord(0, "complete", {}, {"model.name": "resnet"}, KEYS, tuple(scores), mean, 0.1)
    hashed = {} if isinstance(split, bytes) else {"split_hash": split.hash}
    return content | {
        "study/study.json": sealed_json(to_json(STUDY) | hashed | (study or {})),
        "study/split.npz": split if isinstance(split, bytes) else _saved(split),
        "study/trials/00000.json": sealed_json(to_json(first) | (trial or {})),
    }


def lies() -> Iterator[tuple[str, Files]]:
    """(what it is, the files of a study that does not fit together)."""
    for label, array in {
        "out of range": HELD_OUT + NUM,
        "negative": HELD_OUT - NUM,
        "twice": HELD_OUT[[0, 0, 1, 2]],
        "of another fold": SPLIT.held_out(0),
        "in two dimensions": HELD_OUT[None],
        "none": HELD_OUT[:0],
        "too few": HELD_OUT[:2],
        "floats": HELD_OUT.astype(float),
        "unsigned": HELD_OUT.astype(np.uint64),
        "text": np.array(["a"] * 4),
        "a number": np.int64(3),
        "huge": np.array([2**62] * 4),
    }.items():
        yield f"indices {label}", study_of(arrays={"indices": array})
    labels = SPLIT.labels[HELD_OUT]
    for label, array in {
        "out of range": labels + 2,
        "negative": labels - 1,
        "too many": np.arange(9),
        "of others": 1 - labels,
        "bytes": labels.astype(np.uint8),
        "in two dimensions": labels[:, None],
    }.items():
        yield f"labels {label}", study_of(arrays={"labels": array})
    half = np.full((4, 2), 0.5, np.float32)
    for label, array in {
        "of eleven classes": np.full((4, 11), 0.1, np.float32),
        "of one class": half[:, :1],
        "of none": half[:, :0],
        "NaN": half * np.nan,
        "infinite": half * np.inf,
        "too few": half[:3],
        "double": half.astype(float),
        "flat": half.ravel(),
        "empty": half[:0],
        "complex": half.astype(np.complex64),
    }.items():
        yield f"probabilities {label}", study_of(arrays={"probabilities": array})
    for label, file in {
        "no archive": b"x" * 50,
        "a bomb": _bomb(),
        "a huge shape": _declared((10**12, 2)),
        "no arrays": _zip({}),
        "a pickle": _zip({"indices.npy": b"\x80\x04N.", "labels.npy": b"", "probabilities.npy": b""}),
        "negative shape": _declared((-4, 2)),
    }.items():
        yield f"predictions, {label}", study_of(oof=file)
    for name, fields in {
        "another fold": {"fold": 0},
        "fold 99": {"fold": 99},
        "negative fold": {"fold": -1},
        "other key": {"key": "ef" * 20},
        "confusion of text": {"confusion": [["x"]]},
        "no epochs' fields": {"epochs": [{}]},
        "metrics of text": {"metrics": {"a": "b"}},
    }.items():
        yield f"a fold with {name}", study_of(fold=fields)
    for name, fields in {
        "a third fold": {"folds": [*KEYS, "ef" * 20]},
        "no folds": {"folds": []},
        "one score": {"scores": [0.5]},
        "many scores": {"scores": [0.5] * 9},
        "no mean": {"mean": None},
        "number 7": {"number": 7},
        "a key of dots": {"folds": [KEYS[0], "../../x"]},
        "no state": {"state": "dead"},
        "many others": {"others": {"seconds": [1.0] * 99}},
    }.items():
        yield f"a trial with {name}", study_of(trial=fields)
    yield from _lies_of_the_record()
    yield from _lies_of_the_split()


def _lies_of_the_record() -> Iterator[tuple[str, Files]]:
    for name, value in {
        "num_images": [NUM + 1, NUM - 1, 0, -1, 10**15, 2.5, "8", None, True],
        "classes": [[], ["a"], "ab", None, [1, 2], {}],
        "image_shape": [
            [],
            [1, 8],
            [1, 8, 8, 8],
            [0, 8, 8],
            [-1, 8, 8],
            [10**9] * 3,
            "188",
            None,
            [1.5, 8, 8],
        ],
        "settings": [{}, None, [], {"name": 5}],
        "test": [5, {}, {"hash": 5}],
        "hash": ["f" * 64],
        "snapshot": [5],
        "extends": [5, ["x"]],
    }.items():
        for wrong in value:
            yield f"data.{name} {str(wrong)[:20]}", study_of(study={"data": {**DATA, name: wrong}})
    for name, wrongs in {
        "num_folds": [0, 1, -2, 3, 10**9],
        "num_trials": [0, -1, 10**12],
        "split_hash": ["0" * 64],
    }.items():
        for wrong in wrongs:
            yield f"{name} {str(wrong)[:20]}", study_of(study={name: wrong})


def _lies_of_the_split() -> Iterator[tuple[str, Files]]:
    for label, changes in {
        "a fold out of range": {"fold_of": SPLIT.fold_of + 5},
        "a negative fold": {"fold_of": SPLIT.fold_of - 1},
        "one fold": {"fold_of": SPLIT.fold_of * 0},
        "few images": {"fold_of": SPLIT.fold_of[:4]},
        "few labels": {"labels": SPLIT.labels[:3]},
        "labels out of range": {"labels": SPLIT.labels + 9},
        "short hashes": {"image_hashes": SPLIT.image_hashes[:, :4]},
        "flat hashes": {"image_hashes": SPLIT.image_hashes.ravel()},
        "few groups": {"groups": SPLIT.groups[:1]},
        "groups in two folds": {"groups": SPLIT.groups * 0},
        "other images": {"data_hash": "f" * 64},
        "three folds": {"num_folds": 3},
    }.items():
        yield f"a split of {label}", study_of(split=replace(SPLIT, **changes))  # type: ignore[arg-type]
    for label, file in {
        "no split": b"x",
        "a bomb of a split": _bomb(),
        "a huge split": _declared((10**12, 16), "fold_of"),
    }.items():
        yield label, study_of(split=file)
    missing = study_of()
    del missing["study/split.npz"]
    yield "no split at all", missing


def _saved(split: Manifest) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        split.save(Path(folder) / "split.npz")
        return (Path(folder) / "split.npz").read_bytes()


def _zip(members: Files, kind: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", kind) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _bomb() -> bytes:
    """64 MiB of zeros in some kilobytes, for each array."""
    names = ("indices", "labels", "probabilities", "head", "image_hashes", "groups", "fold_of")
    return _zip({f"{name}.npy": bytes(2**26) for name in names[:3]}, zipfile.ZIP_DEFLATED)


def _declared(shape: tuple[int, ...], name: str = "probabilities") -> bytes:
    """Arrays of which one says that it has this shape, and has nothing."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f4", "fortran_order": False, "shape": shape})
    arrays = {
        "indices": HELD_OUT,
        "labels": SPLIT.labels[HELD_OUT],
        "head": np.array(json.dumps({"schema": 2, "hash": ""})),
    }
    members = {}
    for key, array in arrays.items():
        file = io.BytesIO()
        np.save(file, array)
        members[f"{key}.npy"] = file.getvalue()
    return _zip({**members, f"{name}.npy": buffer.getvalue()})
