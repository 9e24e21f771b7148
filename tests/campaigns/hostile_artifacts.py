"""Hostile artifacts: files that would run code, write elsewhere or fill the memory if they were read carelessly.

Each is fed to the reader that would meet it. It has to be refused with a HarnessError or read as missing; the marker
that its payload makes never appears, and nothing beside the store changes.
"""

import io
import json
import pickle
import struct
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from harness.analysis.leaderboard import status as leaderboard_status
from harness.analysis.test_set_ledger import Ledger
from harness.config.study_file import parse_study_file
from harness.data import load_part
from harness.data.decoding import decode
from harness.data.images import Images
from harness.data.split import Manifest
from harness.errors import HarnessError
from harness.files import digest, sealed_json, write_json
from harness.inference.model import load_trial_model
from harness.records import FoldRecord, TrialRecord, to_json
from harness.standalone.image_pixels import UnreadableError
from harness.store.loaded_study import LoadedStudy, started_study
from harness.store.predictions import read_predictions
from harness.store.store import Store
from harness.training import checkpoint, features
from tests.campaigns.hostile_bundles import KEY, STUDY, bundles
from tests.campaigns.hostile_inputs import silent

Case = tuple[str, Callable[[], object]]  # what it is, and reading it: raises, or returns what was made of it
COMPUTE = {"device": "cpu", "precision": "fp32", "channels_last": False, "threads": 1}


def artifacts(folder: Path) -> list[str]:
    """What did not hold, of all artifacts; they are made in the folder, which must be empty."""
    outside = folder / "outside"
    outside.mkdir()
    (outside / "weights.safetensors").write_bytes(b"somebody else's")
    marker = folder / "marker"
    failures = []
    with silent():
        for label, read in _cases(folder, Payload(marker)):
            before = _beside_the_store(folder)
            try:
                taken = read()
                said = f"was taken: {taken!r:.80}" if taken else ""
            except (HarnessError, UnreadableError) as error:
                said = "" if str(error) else "refused without a word"
            except Exception as error:
                said = f"{type(error).__name__}: {str(error)[:200]}"
            if marker.exists():
                said = "its payload was executed"
                marker.unlink()
            if _beside_the_store(folder) != before:
                said = "changed something beside the store"
            failures += [f"{label}: {said}"] if said else []
    return failures


def _beside_the_store(folder: Path) -> dict[str, bytes]:
    """What must stay: other people's files, and that there are no more of them."""
    kept = {"store", "marker", "arrays", "models", "bundles", "checkpoints", "photos"}
    names = {path.name: b"" for path in folder.iterdir() if path.name not in kept}
    return names | {
        path.name: path.read_bytes() for path in (folder / "outside").rglob("*") if path.is_file()
    }


class Payload:
    """Unpickled, it makes a file."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, str]]:
        return open, (str(self.marker), "w")


def payloads(payload: Payload) -> dict[str, bytes]:
    """The ways to store one that people use."""
    import joblib

    one = np.empty(1, dtype=object)
    one[0] = payload
    buffers = {name: io.BytesIO() for name in ("npy", "npz", "pt", "old pt", "joblib", "pt2")}
    np.save(buffers["npy"], one, allow_pickle=True)
    np.savez(buffers["npz"], indices=one, labels=one, probabilities=one, pixels=one, head=one)  # type: ignore[arg-type]
    torch.save(payload, buffers["pt"])
    torch.save(payload, buffers["old pt"], _use_new_zipfile_serialization=False)
    joblib.dump(payload, buffers["joblib"])
    with zipfile.ZipFile(buffers["pt2"], "w") as archive:
        archive.writestr("archive_format", "pt2")
        archive.writestr("data/weights/model.pt", buffers["pt"].getvalue())
        archive.writestr("data/sample_inputs/model.pt", buffers["pt"].getvalue())
    return {"pickle": pickle.dumps(payload)} | {name: file.getvalue() for name, file in buffers.items()}


def _cases(folder: Path, payload: Payload) -> Iterator[Case]:
    made = payloads(payload)
    yield from _models(folder, made)
    yield from _records(folder, made)
    yield from _arrays(folder, made)
    yield from bundles(folder, made)
    yield from _images(folder, made)
    yield from _states(folder, made)
    tags = ("apply:os.system", "new:os.system", "object/apply:builtins.open", "module:os", "name:os.system")
    for tag in tags:
        text = f"data: !!python/{tag} ['{payload.marker}', 'w']\n".encode()
        yield f"YAML tag {tag}", lambda text=text: parse_study_file(text, (), name="x", source="x")  # type: ignore[misc]


def _models(folder: Path, made: dict[str, bytes]) -> Iterator[Case]:
    """Weights that are none, and descriptions that name what lies elsewhere."""

    def case(label: str, weights: bytes, **changes: object) -> Case:
        place = folder / "models" / label.replace(" ", "-")
        place.mkdir(parents=True)
        (place / "weights.safetensors").write_bytes(weights)
        (place / "MLmodel").write_text("flavors:\n  python_function:\n    loader_module: pickle\n")
        (place / "python_model.pkl").write_bytes(made["pickle"])
        member = {"fold": 0, "weights": "weights.safetensors", "sha256": digest(weights)}
        document: dict[str, object] = {
            "schema": 1, "model": {"name": "simple_cnn"}, "image_shape": [3, 8, 8], "classes": ["a", "b"],
            "compute": COMPUTE, "folds": [member | changes.pop("member", {})],  # type: ignore[operator]
        }  # fmt: skip
        (place / "model.json").write_text(json.dumps(document | changes))
        return f"model, {label}", lambda: load_trial_model(place)

    for kind, content in (made | lying_safetensors()).items():
        yield case(kind, content)
    good = _safetensors({})
    yield case("weights elsewhere", good, member={"weights": "../../outside/weights.safetensors"})
    for name in ("../../os", "os.path", ".frozen", "transfer", 5):
        yield case(f"model called {str(name).replace('/', '_')}", good, model={"name": name})
    for shape in ([3, 2**40, 8], [-1, 8, 8], "3x8x8", [2**62, 8, 8]):
        yield case(f"shape {shape!s}", good, image_shape=shape)
    yield case("other kinds", good, folds=[5], classes=7, compute="cpu", schema="1")
    yield case("code for options", good, model={"name": "simple_cnn", "__class__": "os"})
    place = folder / "models" / "pickle flavor"
    place.mkdir()
    (place / "MLmodel").write_text(
        "flavors:\n  sklearn: {pickled_model: model.pkl, serialization_format: pickle}\n"
    )
    (place / "model.pkl").write_bytes(made["pickle"])
    yield "model, MLmodel of a pickle", lambda: load_trial_model(place)


def lying_safetensors() -> dict[str, bytes]:
    """Headers that say of their tensors what is not so."""

    def tensor(begin: int, end: int, shape: tuple[int, ...] = (2,), dtype: str = "F32") -> dict[str, object]:
        return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}

    headers: dict[str, Any] = {
        "overlap": {"a": tensor(0, 8), "b": tensor(4, 12)}, "negative": {"a": tensor(-8, 0)},
        "beyond": {"a": tensor(0, 2**40, (2**38,))}, "overflow": {"a": tensor(0, 8, (2**33, 2**33))},
        "unknown type": {"a": tensor(0, 8, dtype="os.system")}, "no map": [1], "deep": None,
    }  # fmt: skip
    made = {f"safetensors, {name}": _safetensors(header) for name, header in headers.items()}
    long = struct.pack("<Q", 2**63) + b"{}"
    return made | {"safetensors, long header": long, "safetensors, short": b"\x08\0\0", "empty": b""}


def _safetensors(header: Any, data: bytes = bytes(16)) -> bytes:
    text = b"[" * 100_000 if header is None else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def _records(folder: Path, made: dict[str, bytes]) -> Iterator[Case]:
    """Records with a seal that is right, and a content that is not."""
    store = Store(folder / "store")
    documents: dict[str, dict[str, Any]] = {
        "hashes of what lies elsewhere": {"hashes": {"../../../outside/weights.safetensors": "0" * 64}},
        "another key": {"key": "cd" * 20}, "numbers as text": {"epochs": "abc", "fold": "0"}, "unknown": {"run": "os"},
    }  # fmt: skip
    contents = {label: sealed_json({**to_json(fold()), **changes}) for label, changes in documents.items()}
    contents |= {"deep": b"[" * 200_000, "huge number": b"9" * 10_000, **made}
    for label, content in contents.items():
        path = store.fold_folder(KEY) / "result.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        yield (
            f"fold, {label}",
            lambda path=path, content=content: path.write_bytes(content) and store.read_fold(KEY),
        )  # type: ignore[misc]
    for key in ("../../outside", "..", str(folder / "outside"), "a/../../../outside", "\0"):
        yield f"fold called {key!r:.20}", lambda key=key: store.read_fold(key)  # type: ignore[misc]
        yield f"weights of {key!r:.20}", lambda key=key: store.drop_weights([key])  # type: ignore[misc]
        yield f"study called {key!r:.20}", lambda key=key: started_study(store, key)  # type: ignore[misc]
    for label, changes in {"types": {"num_folds": "x"}, "data": {"data": {}}, "newer": {"schema": 9}}.items():
        write_json(store.study_folder(label) / "study.json", {**to_json(STUDY), **changes})
        yield f"study, {label}", lambda label=label: store.read_study(label)  # type: ignore[misc]
    store.write_study(STUDY)
    trial = to_json(TrialRecord(0, "complete", {}, {}))
    for changes in (
        {"folds": [5]},
        {"folds": "abc", "scores": ["x"]},
        {"state": "evil"},
        {"number": "zero"},
        {"x": 1},
    ):
        path = store.study_folder("s") / "trials" / "00000.json"
        write_json(path, {**trial, **changes})
        yield f"trial, {changes}", lambda: store.read_trials("s")
        yield f"status with trial {changes}", lambda: leaderboard_status(LoadedStudy.open(store, "s")).trials
    ledger = Ledger(store.home)
    for line in (b"[" * 100_000 + b"\n", made["pickle"] + b"\n", b'{"hash": 1}\n'):
        yield f"ledger, {line!r:.20}", lambda line=line: ledger.path.write_bytes(line) and ledger.lines()  # type: ignore[misc]


def _arrays(folder: Path, made: dict[str, bytes]) -> Iterator[Case]:
    """Predictions, splits and images whose arrays are objects or lie about their size."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<i8", "fortran_order": False, "shape": (2**45,)})
    evil, huge = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(huge, "w") as archive:
        for name in ("indices", "labels", "probabilities", "head"):
            archive.writestr(f"{name}.npy", header.getvalue())
    np.lib.format.write_array_header_1_0(evil, {"descr": "|O", "fortran_order": False, "shape": (2,)})
    contents = made | {
        "huge": huge.getvalue(),
        "objects": evil.getvalue() + made["pickle"],
        "long": header.getvalue(),
    }
    for label, content in contents.items():
        record = replace(fold(), folder=folder / "arrays" / label, hashes={"oof.npz": digest(content)})
        record.folder.mkdir(parents=True)
        for name in ("oof.npz", "split.npz", "pixels.npy", "labels.npy"):
            (record.folder / name).write_bytes(content)
        meta = {"schema": 1, "content_hash": "", "classes": ["a"], "names": [], "groups": None, "notes": []}
        write_json(record.folder / "meta.json", meta)
        yield f"predictions, {label}", lambda record=record: read_predictions(record)  # type: ignore[misc]
        yield f"split, {label}", lambda record=record: Manifest.load(record.folder / "split.npz")  # type: ignore[misc]
        yield f"images, {label}", lambda record=record: Images.open(record.folder)  # type: ignore[misc]
        keeper = features.Keeper(folder / "arrays" / label)
        path = keeper.folder / f"{features._name('x')}.npy"
        path.write_bytes(content + bytes.fromhex(digest(content)))
        yield f"features, {label}", lambda keeper=keeper: bool(keeper("x", lambda: torch.zeros(2)).sum() != 0)  # type: ignore[misc]
    for changes in ({"classes": 5}, {"names": [1]}, {"groups": "x"}, {"schema": [1]}, {"content_hash": 1}):
        place = folder / "arrays" / str(changes)
        Images(np.zeros((2, 1, 4, 4), np.uint8), np.zeros(2, np.int64), ("a",), ("1", "2")).save(place)
        meta = json.loads((place / "meta.json").read_bytes())
        write_json(place / "meta.json", {**{key: meta[key] for key in meta if key != "seal"}, **changes})
        yield f"images, {changes}", lambda place=place: Images.open(place).verified()  # type: ignore[misc]


def _images(folder: Path, made: dict[str, bytes]) -> Iterator[Case]:
    """Bombs, and formats that are programs."""
    from tests.data.test_decoding import png_bomb

    bombs = {
        "bomb": png_bomb(2**31 - 1, 2**31 - 1),
        "lines": png_bomb(1, 2**31 - 1),
        "large": png_bomb(8192, 8192),
    }
    gif = b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\x08\x02" + bytes(9)
    programs = {"ps": b"%!PS\n(x) (w) file closefile\n", "svg": b"<svg xmlns='x'><script/></svg>", "gif": gif}
    for label, content in (made | bombs | programs).items():
        yield f"image, {label}", lambda content=content: decode(content, image_size=8, channels=3)  # type: ignore[misc]
        for name in ("cat", "dog"):
            (folder / "photos" / name).mkdir(parents=True, exist_ok=True)
            (folder / "photos" / name / f"{label}.png").write_bytes(content)
    settings = {"name": "folder", "root": str(folder / "photos")}
    yield "folder of them", lambda: load_part(folder / "store", settings, "train")


def _states(folder: Path, made: dict[str, bytes]) -> Iterator[Case]:
    """Checkpoints with a seal that is right."""
    network = torch.nn.Linear(2, 2)
    state = checkpoint.State(network, [])
    documents: dict[str, Any] = {
        "no tensors": {"identity": {"a": 1}, "epochs": [], "best_epoch": 0, "best_score": None},
        "other kinds": {"identity": {"a": 1}, "epochs": 5}, "no map": [1], "of another": {"identity": {"a": 2}},
    }  # fmt: skip
    contents = made | lying_safetensors()
    for label, document in documents.items():
        contents[label] = _safetensors({"__metadata__": {"harness": json.dumps(document)}}, b"")
    contents["deep JSON"] = _safetensors({"__metadata__": {"harness": "[" * 100_000}}, b"")
    for label, content in contents.items():
        path = folder / "checkpoints" / label
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content + bytes.fromhex(digest(content)))
        yield f"checkpoint, {label}", lambda path=path: checkpoint.read(path, state, {"a": 1}).epochs  # type: ignore[misc]


def fold() -> FoldRecord:
    return FoldRecord(KEY, 0, {}, (), 1, {}, ((1,),), 1, 1.0, 1.0, {}, {})
