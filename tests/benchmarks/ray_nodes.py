"""A Ray cluster of one node and of two, and of two of which one is killed in mid-fold; folds a minute.

The nodes are processes of this machine with one processor each; the driver's own node has none. Counted from the
first epoch that arrives to the last fold, so neither the cluster's start nor the first imports. The hash of all
predictions is the same for all, and with one worker without Ray.
"""

import argparse
import json
import logging
import os
import tempfile
import time
from functools import partial
from pathlib import Path

from harness.store.store import Store
from tests.benchmarks.interleave import Contenders, Run
from tests.benchmarks.whole_study import copy_images
from tests.benchmarks.workers import hash_of, study_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--root", type=Path, help="folder of class folders of 32×32 images; else digits")
    parser.add_argument("--images", type=int, default=1500)
    parser.add_argument("--epochs", type=int, default=2)


def contenders(options: argparse.Namespace) -> Contenders:
    return {
        "one node": partial(run, 1, options),
        "two nodes": partial(run, 2, options),
        "two nodes, one killed": partial(run, 2, options, killed=True),
        "no Ray, one worker": partial(run, 0, options),
    }


def run(num_nodes: int, options: argparse.Namespace, *, killed: bool = False) -> Run:
    from ray.cluster_utils import Cluster

    from harness.config.study_file import load_study_file
    from harness.tuning import Settings

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        os.environ["HARNESS_DATA"] = str(work / "data")
        copy_images(options.root, work / "images", options.images, seed=options.round)
        (work / "study.yaml").write_text(json.dumps(study_file(work, options.epochs)))
        study = load_study_file(str(work / "study.yaml"))
        if num_nodes == 0:
            return timed(study, Settings(work / "mlruns", workers=1, offline=True), None)
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        try:
            for _ in range(num_nodes):
                cluster.add_node(num_cpus=1)
            cluster.wait_for_nodes()
            settings = Settings(work / "mlruns", offline=True, executor="ray", address=cluster.address)
            return timed(study, settings, cluster if killed else None)
        finally:
            cluster.shutdown()


def timed(study: object, settings: object, cluster: object) -> Run:
    """cluster: of which a node is to be killed in the middle of the second fold, or None."""
    from harness.search.driver import EpochEnded, FoldEnded
    from harness.tuning import tune

    began = ended = 0.0
    folds = epochs = 0
    for event in tune(study, settings):  # type: ignore[arg-type]
        if isinstance(event, EpochEnded):
            began, epochs = began or time.perf_counter(), epochs + 1
            if cluster is not None and folds == 2:
                cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)  # type: ignore[attr-defined]
                cluster = None
        if isinstance(event, FoldEnded):
            folds, ended = folds + 1, time.perf_counter()
    store = Store(settings.home)  # type: ignore[attr-defined]
    found = [
        fold for trial in store.read_trials("study") for key in trial.folds if (fold := store.read_fold(key))
    ]
    bits = int(hash_of(sorted(fold.hashes["oof.npz"] for fold in found)), 16)
    figures = {"seconds": ended - began, "folds": folds, "epochs": epochs, "hash of all predictions": bits}
    return Run(60 * folds / (ended - began), "folds/min", figures=figures)
