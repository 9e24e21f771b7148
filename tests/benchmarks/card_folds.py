"""The folds of a small network on one GPU: one after the other with plain steps, with CUDA graphs, several at a time.

`harness tune` as a whole, timed from the first fold's start to the last one's end, as in `workers`. The hash is of all
predictions: equal where the bits are.
"""

import argparse
import sys
from functools import partial
from pathlib import Path

from tests.benchmarks import workers
from tests.benchmarks.interleave import Contenders


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--root", type=Path, help="folder of class folders of 32×32 images; else digits")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda", help="cpu rehearses it")
    parser.add_argument("--together", type=int, default=4, help="folds at a time")


def contenders(options: argparse.Namespace) -> Contenders:
    import torch

    if options.device == "cpu":
        return {"plain": partial(workers.run, 1, options, ["--set", "compute.device=cpu"])}
    if not torch.cuda.is_available():
        sys.exit("card_folds needs a CUDA GPU")
    graph = ["--set", "compute.cuda_graph=true"]
    together = ["--gpus", str(1 / options.together)]
    some = f"{options.together} at a time"
    return {
        "plain": partial(workers.run, 1, options),
        "CUDA graph": partial(workers.run, 1, options, graph),
        f"plain, {some}": partial(workers.run, options.together, options, together),
        f"CUDA graph, {some}": partial(workers.run, options.together, options, [*together, *graph]),
    }
