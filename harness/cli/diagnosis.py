"""What `harness doctor` finds: versions, device, processors, stores, data."""

import importlib.util
import os
import platform
import shutil
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from harness import __version__
from harness.errors import StoreError
from harness.folds.executor import num_processors
from harness.redaction import shown
from harness.store.store import Store
from harness.tuning import Settings

PACKAGES = ("torch", "torchvision", "mlflow", "optuna", "scikit-learn", "numpy", "safetensors")
EXTRAS = {"timm": "timm", "open_clip_torch": "clip"}
Row = tuple[str, str, str]


def rows(home: Path) -> list[Row]:
    """(what, what was found, what to do about it) for everything that matters."""
    return [*_versions(), *_machine(), *_stores(home), *_data()]


def _versions() -> Iterator[Row]:
    yield "harness", __version__, ""
    yield "python", platform.python_version(), ""
    for package in PACKAGES:
        try:
            yield package, version(package), ""
        except PackageNotFoundError:
            yield package, "missing", f"pip install {package}"
    for package, extra in EXTRAS.items():
        try:
            yield package, version(package), ""
        except PackageNotFoundError:
            yield package, "not installed", f"pip install 'harness[{extra}]'"


def _machine() -> Iterator[Row]:
    yield "processors", str(num_processors()), "harness tune uses them all (--workers)"
    if importlib.util.find_spec("torch") is None:
        return
    from harness import training

    compute = training.resolve(training.ComputeOptions())
    found = training.fingerprint(compute)
    yield (
        "device",
        found.get("gpu", found["processor"]),
        "" if compute.device != "cpu" else "no GPU: trains on the CPU",
    )
    yield "precision", compute.precision, "" if compute.precision == "bf16" else "no bf16 instructions here"
    yield "instructions", found["instructions"], ""
    yield (
        "threads",
        f"{compute.threads} per worker",
        "part of every record; change with --set compute.threads=N",
    )


def _stores(home: Path) -> Iterator[Row]:
    store, settings = Store(home), Settings(home.expanduser().absolute())
    try:
        names = store.studies()
        yield (
            "store",
            f"{store.home} ({len(names)} studies)",
            "" if names else "made by the first harness tune",
        )
    except StoreError as error:
        yield "store", "cannot be read", str(error)
    existing = next(folder for folder in (store.home, *store.home.parents) if folder.exists())
    free = shutil.disk_usage(existing).free / 2**30
    writable = os.access(existing, os.W_OK)
    yield (
        "disk",
        f"{free:.0f} GiB free",
        "" if writable else f"{existing} cannot be written to: choose another --home",
    )
    yield "MLflow", shown(settings.tracking_uri), ""
    yield "Optuna", shown(settings.storage_url), ""


def _data() -> Iterator[Row]:
    from harness.config import catalog
    from harness.data import data_home, is_here

    root = data_home()
    yield (
        "data folder",
        str(root),
        "" if root.exists() else "made when data are first loaded (HARNESS_DATA moves it)",
    )
    for name, entry in catalog.datasets().items():
        if any(option.required for option in entry.options):
            needed = ", ".join(f"data.{option.name}" for option in entry.options if option.required)
            yield f"data: {name}", "your own", f"--set {needed}=…"
            continue
        found = is_here(name)
        yield f"data: {name}", "here" if found else "not here", "" if found else "downloaded on first use"
