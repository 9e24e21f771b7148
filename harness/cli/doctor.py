"""What `harness doctor` finds: versions, device, processors, stores, data."""

import importlib.util
import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from harness.config import catalog
from harness.data import data_home, is_here
from harness.errors import StoreError
from harness.folds.executor import num_processors
from harness.invocation import command
from harness.redaction import shown
from harness.store.store import Store
from harness.tuning import Settings
from harness.version import __version__

PACKAGES = ("torch", "torchvision", "mlflow", "optuna", "scikit-learn", "numpy", "safetensors")
EXTRAS = {"timm": "timm", "open_clip_torch": "clip", "pillow-heif": "heif"}


@dataclass(frozen=True)
class Line:
    """What was looked at, what was found, and what to do about it, or ""."""

    what: str
    found: str
    advice: str


@dataclass(frozen=True)
class Diagnosis:
    doctor: tuple[Line, ...]


def diagnose(home: Path) -> Diagnosis:
    """Everything that matters."""
    return Diagnosis((*_versions(), *_machine(), *_stores(home), *_data()))


def _versions() -> Iterator[Line]:
    yield Line("harness", __version__, "")
    yield Line("python", platform.python_version(), "")
    for package in PACKAGES:
        try:
            yield Line(package, version(package), "")
        except PackageNotFoundError:
            yield Line(package, "missing", f"pip install {package}")
    for package, extra in EXTRAS.items():
        try:
            yield Line(package, version(package), "")
        except PackageNotFoundError:
            yield Line(package, "not installed", f"pip install 'harness-cv[{extra}]'")


def _machine() -> Iterator[Line]:
    yield Line("processors", str(num_processors()), "tune uses them all (--workers)")
    if importlib.util.find_spec("torch") is None:
        return
    from harness import training

    compute = training.resolve(training.ComputeOptions())
    found = training.fingerprint(compute)
    yield Line(
        "device",
        found.get("gpu", found["processor"]),
        "" if compute.device != "cpu" else "no GPU: trains on the CPU",
    )
    yield Line(
        "precision", compute.precision, "" if compute.precision == "bf16" else "no bf16 instructions here"
    )
    yield Line("instructions", found["instructions"], "")
    yield Line(
        "threads",
        f"{compute.threads} per worker",
        "part of every record; change with --set compute.threads=N",
    )


def _stores(home: Path) -> Iterator[Line]:
    store, settings = Store(home), Settings(home)
    try:
        names = store.studies()
        yield Line(
            "store",
            f"{store.home} ({len(names)} studies)",
            "" if names else f"{command('tune', 'quickstart', home=store.home)} begins one",
        )
    except StoreError as error:
        yield Line("store", "cannot be read", str(error))
    existing = next(folder for folder in (store.home, *store.home.parents) if folder.exists())
    free = shutil.disk_usage(existing).free / 2**30
    writable = os.access(existing, os.W_OK)
    yield Line(
        "disk",
        f"{free:.0f} GiB free",
        "" if writable else f"{existing} cannot be written to: choose another --home",
    )
    yield Line("MLflow", shown(settings.tracking_uri), "")
    yield Line("Optuna", shown(settings.storage_url), "")


def _data() -> Iterator[Line]:
    root = data_home()
    yield Line(
        "data folder",
        str(root),
        "" if root.exists() else "made when data are first loaded (HARNESS_DATA moves it)",
    )
    for name, entry in catalog.datasets().items():
        if any(option.required for option in entry.options):
            needed = ", ".join(f"data.{option.name}" for option in entry.options if option.required)
            yield Line(f"data: {name}", "your own", f"--set {needed}=…")
            continue
        found = is_here(name)
        yield Line(
            f"data: {name}", "here" if found else "not here", "" if found else "downloaded on first use"
        )
