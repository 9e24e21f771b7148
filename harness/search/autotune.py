"""`compute: auto`: which precision, layout and threads train a study's network fastest on this machine, by measurement.

Every candidate trains the default trial's network on a few images, in as many processes at once as it would have, in
two rounds after one another. The rules' own choice stays unless another is faster by five percent in every round that
there was time for: so what is chosen is never slower, as far as a few seconds tell. No candidate is less exact than the
rules' choice, and where that is less exact than fp32, its first gradient must agree with fp32's.
"""

import json
import logging
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from harness import models, training
from harness.config import own_code, search_space
from harness.config.own_code import HARNESS
from harness.config.study_file import Study
from harness.data.images import Images
from harness.errors import HarnessError, RecordError
from harness.files import digest, read_json, write_json
from harness.folds.cluster import THIS_PROCESS
from harness.folds.executor import Cluster
from harness.folds.processes import without_main, worker_context
from harness.search.speed import speeds_of

logger = logging.getLogger(__name__)
VERSION = 2  # of the measurement; raised when it changes, so that it is made anew
ROUNDS, SECONDS = 2, 0.8  # each candidate's rounds, and the time that its processes train together in one
MOST_SECONDS = 30.0  # of all; what was measured in fewer rounds than the rules' choice by then is not chosen
MARGIN = 1.05
LEAST_COSINE = 0.98  # between the first gradients in fp32 and in a lower precision
BATCHES = {"cpu": 2, "mps": 2, "cuda": 16}  # of images, an epoch


@dataclass(frozen=True)
class Choice:
    """compute: what to train with.   measured: images/s of all processes together by candidate, if it was asked for."""

    compute: "training.Compute"
    measured: dict[str, float]


def choose(study: Study, images: Images, kept: Path, home: Path, cluster: Cluster = THIS_PROCESS) -> Choice:
    """How to compute a study: by the rules, or where it asks for that by measurement; both where folds are trained.

    The measurement is made once per machine and network, and kept in `home`.
    kept: the folder that other processes can map the images from.
    Raises HarnessError for a device that is not there, and what `Cluster.call` raises.
    """
    default, machine = cluster.call(study.compute, resolved, study.compute)
    if not study.measures:
        return Choice(default, {})
    if set(own_code.loops(study.train)) != {HARNESS}:
        logger.info("compute: auto measures harness's own training loop; with another the rules choose")
        return Choice(default, {})
    num_processors = cluster.num_processors(asdict(default))
    path = home / "probes" / f"{_key(study, images, machine, num_processors)}.json"
    choice = _read(path)
    if choice is None:
        there = kept if cluster.has_files else images
        choice = cluster.call(asdict(default), measured, study, there, default, num_processors)
        write_json(path, {"compute": asdict(choice.compute), "measured": choice.measured})
    said = name(choice.compute, num_processors)
    logger.info("compute: %s, the fastest of %d that were measured", said, len(choice.measured))
    return choice


def resolved(options: Mapping[str, Any]) -> tuple["training.Compute", dict[str, str]]:
    """What this machine computes on by a study's `compute`, every "auto" decided; and this machine's fingerprint."""
    compute = training.resolve(training.ComputeOptions(**options))
    return compute, training.fingerprint(compute)


def measured(study: Study, images: Images | Path, default: "training.Compute", num_processors: int) -> Choice:
    """What trains the study's network fastest on this machine.   images: or the folder that they can be mapped from."""
    if isinstance(images, Images):
        with tempfile.TemporaryDirectory(prefix="harness-measure-") as folder:
            images.save(Path(folder) / "images")
            return measured(study, Path(folder) / "images", default, num_processors)
    if default.precision != "fp32" and not agrees(study, Images.open(images), default):
        default = replace(default, precision="fp32")
    rounds = _measure(study, images, candidates(default, num_processors), num_processors)
    rates = {name(one, num_processors): statistics.median(rates) for one, rates in rounds.items()}
    return Choice(decide(rounds, default), rates)


def candidates(default: "training.Compute", num_processors: int) -> list["training.Compute"]:
    """The default first; then other layouts, fp32 for a lower precision, more threads on a CPU, graphs on CUDA GPUs."""
    precisions = list(dict.fromkeys([default.precision, "fp32"]))
    counts = [default.threads]
    if default.device == "cpu":
        counts += [count for count in (1, 2, 4, num_processors) if count <= num_processors]
    graphs = (False, True) if default.device == "cuda" else (False,)
    return [
        replace(default, precision=precision, channels_last=layout, threads=count, cuda_graph=graph)
        for graph in graphs
        for precision in precisions
        for count in dict.fromkeys(counts)
        for layout in (default.channels_last, not default.channels_last)
    ]


def decide(
    rounds: Mapping["training.Compute", Sequence[float]], default: "training.Compute"
) -> "training.Compute":
    """The fastest candidate, if it beats the default by the margin in every round; else the default.

    rounds: images/s of each candidate in each round that there was time for.
    """
    base = rounds[default]
    faster = [
        compute
        for compute, rates in rounds.items()
        if len(rates) == len(base) and all(rate > MARGIN * one for rate, one in zip(rates, base, strict=True))
    ]
    return max(faster, key=lambda one: statistics.median(rounds[one]), default=default)


def name(compute: "training.Compute", num_processors: int) -> str:
    """Like `fp32, channels_last, 1 thread × 2 processes`, or with `, CUDA graph`."""
    processes = num_processes(compute, num_processors)
    layout = "channels_last" if compute.channels_last else "channels_first"
    threads = f"{compute.threads} thread{'s' * (compute.threads > 1)}"
    graph = ", CUDA graph" * compute.cuda_graph
    return f"{compute.precision}, {layout}, {threads} × {processes} process{'es' * (processes > 1)}{graph}"


def num_processes(compute: "training.Compute", num_processors: int) -> int:
    return max(num_processors // compute.threads, 1) if compute.device == "cpu" else 1


def _measure(
    study: Study, kept: Path, computes: Sequence["training.Compute"], num_processors: int
) -> dict["training.Compute", list[float]]:
    """Images/s of all processes of a candidate together, by candidate and round.

    The first is always measured. The measurement ends early when its time is over, and when another candidate fails.
    """
    most = max(num_processes(compute, num_processors) for compute in computes)
    rounds: dict[training.Compute, list[float]] = {}
    deadline = time.monotonic() + MOST_SECONDS
    with ProcessPoolExecutor(most, mp_context=worker_context()) as pool:
        with without_main():
            list(pool.map(time.sleep, [0.1] * most))  # all are up
        for _ in range(ROUNDS):
            for compute in computes:
                if rounds and time.monotonic() > deadline:
                    return rounds
                count = num_processes(compute, num_processors)
                try:
                    running = [pool.submit(_rate, study, kept, asdict(compute)) for _ in range(count)]
                    rate = sum(future.result() for future in running)
                except (HarnessError, RuntimeError) as error:  # the latter also where a process died
                    if not rounds:
                        raise
                    logger.warning("%s failed and is not chosen: %s", name(compute, num_processors), error)
                    if compute != computes[0]:
                        rounds.pop(compute, None)
                    return rounds
                rounds.setdefault(compute, []).append(rate)
    return rounds


def _rate(study: Study, kept: Path, compute: dict[str, Any]) -> float:
    """Images a second of one process, in the mean over the window, after an epoch to warm up."""
    images, params = Images.open(kept), search_space.defaults(study)
    batch_size = int(search_space.resolve(study, params)["train.batch_size"] or 1)
    num_images = BATCHES[compute["device"]] * batch_size
    speeds = speeds_of(study, images, params, training.Compute(**compute), num_images=num_images)
    next(speeds)
    end, found = time.monotonic() + SECONDS, list[float]()
    while not found or time.monotonic() < end:
        found.append(next(speeds))
    speeds.close()
    return statistics.harmonic_mean(found)


def agrees(study: Study, images: Images, compute: "training.Compute") -> bool:
    """Whether the gradient of the first step points where that in fp32 does."""
    import torch

    exact, other = (
        first_gradient(study, images, one) for one in (replace(compute, precision="fp32"), compute)
    )
    return float(torch.nn.functional.cosine_similarity(exact, other, dim=0)) >= LEAST_COSINE


def first_gradient(study: Study, images: Images, compute: "training.Compute") -> Any:
    """Of all parameters, as one float32 vector, for the first images and the default trial's network."""
    import numpy as np
    import torch

    from harness.training.pixels import autocast  # loads torch

    options = models.section(search_space.resolve(study, search_space.defaults(study)), "model")
    _, channels, height, _ = images.pixels.shape
    few = images.take(np.arange(min(len(images), 64)))
    with training.session(compute):
        torch.manual_seed(0)
        model: Any = models.build(str(options.pop("name")), channels, height, images.classes, options)
        model.to(compute.device)
        pixels = torch.from_numpy(few.pixels).to(compute.device).float() / 255
        with autocast(compute):
            logits = model(pixels)
        labels = torch.from_numpy(few.labels).to(compute.device)
        torch.nn.functional.cross_entropy(logits.float(), labels).backward()  # type: ignore[no-untyped-call]
        parts = [part.grad.reshape(-1) for part in model.parameters() if part.grad is not None]
        return torch.cat(parts).float().cpu()


def _key(study: Study, images: Images, machine: Mapping[str, str], num_processors: int) -> str:
    values = search_space.resolve(study, search_space.defaults(study))
    parts = {
        "version": VERSION,
        "machine": machine,
        "processors": num_processors,
        "network": models.section(values, "model"),
        "training": [values[f"train.{part}"] for part in ("batch_size", "optimizer", "augment")],
        "shape": [*images.pixels.shape[1:], len(images.classes)],
    }
    return digest(json.dumps(parts, sort_keys=True, default=str).encode())[:40]


def _read(path: Path) -> Choice | None:
    try:
        document = read_json(path)
    except (OSError, RecordError):
        return None
    return Choice(training.Compute(**document["compute"]), document["measured"])
