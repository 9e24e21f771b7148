"""Reproductions of a small study: equal bits where nothing differs, and every planted difference is named."""

import io
import random
import shutil
import tempfile
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from harness import __version__
from harness.analysis.reproduce import Reproduction, reproduce
from harness.cli import tables
from harness.data.split import Manifest
from harness.errors import HarnessError
from harness.files import read_json, write_json
from harness.folds.code import RECIPE
from harness.store.loaded_study import LoadedStudy
from harness.store.store import Store

STUDY = """\
data: {name: digits, test_fraction: 0.8}
model: {name: resnet, depth: 1, blocks: 1, width: 4, dropout: [0.0, 0.3]}
train: {epochs: 1, batch_size: 32, lr: 0.1, augment: none, keep_models: none}
cv: {folds: 2}
search: {trials: 2, sampler: grid, racing: none}
compute: {device: cpu, precision: fp32}
"""


@dataclass
class Planted:
    """What was changed, and what must be said of it.

    named: (recorded, now) by the difference's name.   refused: words of the refusal instead.
    compute: settings of the reproduction.   bitwise: whether the bits must be equal all the same; None for either.
    """

    named: dict[str, tuple[str, str]] = field(default_factory=dict)
    refused: str = ""
    compute: dict[str, Any] = field(default_factory=dict)
    bitwise: bool | None = None


@dataclass(frozen=True)
class Victim:
    """A copy of the study, and the trial that is trained again."""

    store: Store
    trial: int
    rng: random.Random

    def change_fold(self, change: Callable[[dict[str, Any]], None]) -> str:
        """Change the record of one fold of the trial, seal it again, and say how the fold is called."""
        fold = self.rng.randrange(2)
        key = self.store.read_trials("victim")[self.trial].folds[fold]
        path = self.store.fold_folder(key) / "result.json"
        document = read_json(path)
        change(document)
        write_json(path, document)
        return f"the record of fold {fold}"


def nothing(_: Victim) -> Planted:
    return Planted(bitwise=True)


def setting(name: str, value: Any, recorded: str) -> Callable[[Victim], Planted]:
    """The same trial under another setting of the computation."""
    now = str(value)
    return lambda _: Planted({name: (recorded, now)}, compute={name: value})


def fingerprint(name: str, recorded: str) -> Callable[[Victim], Planted]:
    """A record from a machine, or a library, of which this differs."""

    def plant(victim: Victim) -> Planted:
        now = ""

        def change(document: dict[str, Any]) -> None:
            nonlocal now
            now, document["fingerprint"][name] = document["fingerprint"][name], recorded

        victim.change_fold(change)
        return Planted({name: (recorded, now)}, bitwise=True)

    return plant


def task(name: str, value: Any, what: str, now: str, **expected: Any) -> Callable[[Victim], Planted]:
    """A fold's record that says other inputs than its study and its key."""

    def plant(victim: Victim) -> Planted:
        fold = victim.change_fold(lambda document: document["task"].update({name: value}))
        return Planted({what: (str(value), now), fold: ("", "")}, **expected)

    return plant


def device(victim: Victim) -> Planted:
    """A record from a GPU."""

    def change(document: dict[str, Any]) -> None:
        document["task"]["compute"]["device"] = document["fingerprint"]["device"] = "cuda"
        document["fingerprint"]["gpu"] = "NVIDIA H100"

    fold = victim.change_fold(change)
    named = {"device": ("cuda", "cpu"), "gpu": ("NVIDIA H100", "-"), fold: ("", "")}
    return Planted(named, compute={"device": "cpu"}, bitwise=True)


def values(victim: Victim) -> Planted:
    """A trial that says another value than its folds were trained with."""
    trial = victim.store.read_trials("victim")[victim.trial]
    changed = replace(trial, values={**trial.values, "model.dropout": 0.5})
    victim.store.write_trial("victim", changed)
    return Planted({"model.dropout": (str(trial.values["model.dropout"]), "0.5")}, bitwise=True)


def images(victim: Victim) -> Planted:
    record = victim.store.read_study("victim")
    assert record is not None
    victim.store.write_study(replace(record, data={**record.data, "hash": "0" * 64}))
    return Planted(refused="the images are not those of the record")


def split(victim: Victim) -> Planted:
    path = victim.store.study_folder("victim") / "split.npz"
    known = Manifest.load(path)
    order = np.random.default_rng(victim.rng.randrange(1000)).permutation(len(known.fold_of))
    replace(known, fold_of=known.fold_of[order], groups=known.groups[order]).save(path)
    return Planted(refused="is not the split of the record")


def program(victim: Victim) -> Planted:
    """A record of an earlier release; the bits, too, are others."""
    record = victim.store.read_study("victim")
    assert record is not None
    victim.store.write_study(replace(record, provenance={**record.provenance, "harness": "0.0.1"}))
    named = {"harness": ("0.0.1", __version__), "micro_batches": ("1", "2")}
    return Planted(named, compute={"micro_batches": 2}, bitwise=False)


PLANTS: dict[str, Callable[[Victim], Planted]] = {
    "nothing": nothing,
    "device": device,
    "precision": setting("precision", "bf16", "fp32"),
    "threads": setting("threads", 2, "1"),
    "layout": setting("channels_last", False, "True"),
    "micro-batches": setting("micro_batches", 2, "1"),
    "torch": fingerprint("torch", "1.13.1"),
    "instruction set": fingerprint("instructions", "AVX2 of old"),
    "processor": fingerprint("processor", "80486"),
    "seed, and so the order of batches": task("seed", 77, "seed", "0", bitwise=False),
    "recipe": task("recipe", RECIPE - 1, "recipe", str(RECIPE), bitwise=True),
    "values": values,
    "images": images,
    "split": split,
    "program": program,
}


def reproductions(n: int, seed: int) -> list[str]:
    """n reproductions, each with one thing planted, `nothing` among them: what did not hold, or an empty list."""
    from tests.tuned_study import tune

    failures: list[str] = []
    with tempfile.TemporaryDirectory(prefix="harness-reproductions-") as folder:
        path = Path(folder) / "victim.yaml"
        path.write_text(STUDY, encoding="utf-8")
        tuned = tune(path, Path(folder) / "home").home
        for attempt in range(n):
            name = list(PLANTS)[attempt % len(PLANTS)]
            rng = random.Random(f"reproduction {seed} {attempt}")
            home = Path(shutil.copytree(tuned, Path(folder) / "copy"))
            victim = Victim(Store(home), rng.randrange(2), rng)
            problem = what_went_wrong(victim, PLANTS[name](victim))
            if problem:
                failures.append(f"attempt {attempt}, {name}: {problem}")
            shutil.rmtree(home)
    return failures


def what_went_wrong(victim: Victim, planted: Planted) -> str:
    """What was not said of it, or was and should not be; "" if all is well."""
    try:
        steps = reproduce(
            LoadedStudy.open(victim.store, "victim"), trial=str(victim.trial), compute=planted.compute
        )
        *_, document = steps
    except HarnessError as error:
        told = str(error)
        return "" if planted.refused and planted.refused in told and "\n" not in told else f"refused: {told}"
    assert isinstance(document, Reproduction)
    if planted.refused:
        return f"not refused, but {document.verdict}"
    bitwise = document.verdict == "BITWISE"
    if planted.bitwise is not None and bitwise != planted.bitwise:
        return f"{document.verdict}, with {document.differences}"
    said = {one.what: (one.recorded, one.now) for one in document.differences}
    wrong = {what for what, values in planted.named.items() if any(values) and said.get(what) != values}
    if wrong or said.keys() != planted.named.keys():
        return f"named are {said}, planted were {planted.named}"
    with redirect_stdout(io.StringIO()) as shown:
        tables.reproduction(document)
    lines = [f"differs: {what}: recorded {was}, now {now}" for what, (was, now) in said.items()]
    unseen = [line for line in [document.verdict, *lines] if line not in shown.getvalue()]
    return f"the terminal does not show {unseen}" if unseen else ""
