"""Whether disk and memory of this machine suffice for a study: by what is known before anything is trained.

Activations are not counted, so what is called too large for certain is; other estimates are warnings.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from harness.config import search_space
from harness.config.study_file import Study
from harness.data.images import Images
from harness.errors import Problem
from harness.search.constraints import Size

STATES = 4  # of a network while it is trained: weights, gradients, momentum, the best epoch's weights
CHECKPOINT_STATES = 3  # of those, on disk: all but the gradients
KEPT_TRIALS = 2  # whose weights lie on disk with keep_models best: the leader's and the running one's
BYTES = 4  # of a weight
HOME = "--home"  # where a problem of the store's disk lies


@dataclass(frozen=True)
class Room:
    """What a machine has, in bytes; None where that cannot be told.

    disk: free where the store lies.   memory: not in use.   all_memory: installed, with what may be swapped out.
    """

    disk: int | None
    memory: int | None
    all_memory: int | None


def room_here(home: Path) -> Room:
    """What this machine has now.   home: the store, which need not be there yet."""
    try:
        existing = next(folder for folder in (home, *home.parents) if folder.is_dir())
        disk = shutil.disk_usage(existing).free
    except (OSError, StopIteration):
        disk = None
    return Room(disk, *_memory())


def problems_of_room(
    study: Study, size: Size, images: Images, room: Room, *, workers: int
) -> tuple[list[Problem], list[str]]:
    """What cannot be for certain, and what is worth a warning.

    size: of trial 0's network.   workers: that train on this machine at a time.
    """
    problems, warnings = list[Problem](), list[str]()
    first, whole = _disk_bytes(study, size, images)
    if room.disk is not None and room.disk < first:
        problems.append(
            Problem(
                HOME,
                f"the first trial alone needs {_size(first)} on the disk of the store, which has {_size(room.disk)} "
                "free: make room, or choose another --home",
            )
        )
    elif room.disk is not None and room.disk < whole:
        warnings.append(
            f"the study may need {_size(whole)} on the disk of the store, which has {_size(room.disk)} free: make "
            "room, choose another --home, or keep fewer models (train.keep_models)"
        )
    one = STATES * BYTES * size.parameters
    if room.all_memory is not None and room.all_memory < one:
        problems.append(
            Problem(
                "model.name",
                f"{next(iter(study.models))}: {size.parameters:,} parameters need {_size(one)} of memory to be "
                f"trained, and this machine has {_size(room.all_memory)}; make it smaller",
            )
        )
    elif room.memory is not None and room.memory < workers * one:
        warnings.append(
            f"{workers} worker{'s' * (workers > 1)} with trial 0's network of {size.parameters:,} parameters need at "
            f"least {_size(workers * one)} of memory, and {_size(room.memory)} are free: use fewer (--workers), or a "
            "smaller model"
        )
    return problems, warnings


def _disk_bytes(study: Study, size: Size, images: Images) -> tuple[int, int]:
    """What the first trial writes, and all trials: images that lie nowhere yet, weights, predictions, checkpoints."""
    pixels = 0 if images.path is not None else images.pixels.nbytes
    checkpoint = CHECKPOINT_STATES * BYTES * size.parameters
    trials = search_space.num_trials(study)
    with_weights = trials if study.train["keep_models"] == "all" else min(KEPT_TRIALS, trials)
    of_trial = study.cv.num_folds * size.model_bytes
    predictions = len(images) * (len(images.classes) + 2) * BYTES
    first = pixels + of_trial + checkpoint + predictions
    return first, pixels + with_weights * of_trial + checkpoint + trials * predictions


def _memory() -> tuple[int | None, int | None]:
    """Bytes not in use, and in all with swap."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        kib = {line.partition(":")[0]: int(line.split()[1]) for line in lines if len(line.split()) > 1}
        return kib["MemAvailable"] * 1024, (kib["MemTotal"] + kib["SwapTotal"]) * 1024
    except (OSError, ValueError, KeyError):
        pass
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:  # macOS, whose swap has no limit
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), None
    return None, None


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 2**30:,.1f} GiB" if num_bytes > 2**30 / 10 else f"{num_bytes:,} bytes"
