"""One training on a GPU: airbench94_muon as it is, and harness's speed94 with plain steps and with a CUDA graph.

The peer is the file airbench94_muon.py of github.com/KellerJordan/cifar10-airbench, run in a folder of its own that has
the images where it looks for them. Its seconds are what it prints for its first run after its own warm-up, so without
compilation and evaluation; harness's are those of its epochs, with evaluation and the capture. Accuracies are on the
images of `test/`, the peer's with its test-time augmentation.

With `--device cpu` it is rehearsed: the peer's text is changed where it names the GPU, and nothing is compiled.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import torch

from harness import models
from harness.config import search_space
from harness.config.study_file import load_study_file
from harness.training import Compute, fit, options_from, session
from tests.benchmarks.interleave import Contenders, Run
from tests.benchmarks.peers import read
from tests.benchmarks.whole_study import train_and_apart


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--root", type=Path, help="folder of train/ and test/, each one folder of images a class"
    )
    parser.add_argument(
        "--airbench", type=Path, help="the peer's airbench94_muon.py; without it harness is alone"
    )
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="of the study speed94"
    )


def contenders(options: argparse.Namespace) -> Contenders:
    if options.root is None or (options.device == "cuda" and not torch.cuda.is_available()):
        sys.exit("card_training needs a CUDA GPU and --root")
    peer = {"airbench94_muon": partial(airbench, options)} if options.airbench else {}
    ways = ("plain", "graph") if options.device == "cuda" else ("plain",)
    return {**peer, **{f"harness, {way}": partial(ours, way == "graph", options) for way in ways}}


def airbench(options: argparse.Namespace) -> Run:
    """Until its first run after the warm-up is over; it would make 200."""
    with tempfile.TemporaryDirectory() as folder:
        keep(options.root, Path(folder) / "cifar10")
        text = options.airbench.read_text(encoding="utf-8")
        program = Path(folder) / "airbench94_muon.py"
        program.write_text(text if options.device == "cuda" else for_the_processor(text), encoding="utf-8")
        command = [sys.executable, "-u", str(program)]
        with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            rows = [[part.strip() for part in line.split("|")] for line in _until_first_run(process.stdout)]
            process.terminate()
        *_, accuracy, seconds, _ = rows[-1]
        return Run(
            60 / float(seconds),
            "trainings/min",
            figures={"seconds": float(seconds), "accuracy": float(accuracy)},
        )


def for_the_processor(text: str) -> str:
    """The peer's program for a rehearsal without a GPU: in fp32, small, for an epoch, with a clock for its events."""
    clock = (
        "import time\nclass Clock:\n    def __init__(self, **_): self.at = 0.0\n"
        "    def record(self): self.at = time.perf_counter()\n"
        "    def elapsed_time(self, end): return 1e3 * (end.at - self.at)\n"
    )
    changed = text.replace("torch.cuda.Event", "Clock").replace("torch.cuda.synchronize()", "pass")
    changed = changed.replace('torch.device("cuda")', 'torch.device("cpu")').replace(".cuda()", "")
    changed = changed.replace(".half()", ".float()").replace("@torch.compile\n", "")
    changed = changed.replace("block1=64, block2=256, block3=256", "block1=8, block2=8, block3=8")
    changed = changed.replace("ceil(8 * len(train_loader))", "len(train_loader)")
    changed = re.sub(r"^ *model\.compile\(.*\)\n", "", changed, flags=re.MULTILINE)
    return changed.replace("import torch\n", f"import torch\n{clock}", 1)


def keep(root: Path, folder: Path) -> None:
    """The images as the peer's own loader leaves them after its download."""
    folder.mkdir()
    for part in ("train", "test"):
        pixels, labels = read(root / part)
        classes = sorted(path.name for path in (root / part).iterdir())
        images = torch.from_numpy(pixels.transpose(0, 2, 3, 1).copy())
        document = {"images": images, "labels": torch.from_numpy(labels), "classes": classes}
        torch.save(document, folder / f"{part}.pt")


def _until_first_run(lines: object) -> list[str]:
    """The table's lines up to the second one that ends a run; the first is the warm-up's."""
    found, ends = [], 0
    for line in lines:  # type: ignore[attr-defined]
        found.append(line)
        ends += "eval" in line
        if ends == 2:
            return found
    raise RuntimeError(f"airbench ended early: {''.join(found)[-2000:]}")


def ours(graph: bool, options: argparse.Namespace) -> Run:
    precision = "bf16" if options.device == "cuda" else "fp32"
    compute = Compute(options.device, precision, channels_last=True, threads=1, cuda_graph=graph)
    data = train_and_apart(options.root / "train", options.root / "test")
    classes = [str(label) for label in range(data.num_classes)]
    study = load_study_file("speed94", options.set)
    values = search_space.resolve(study, search_space.defaults(study))
    model_options = models.section(values, "model")
    with session(compute):
        torch.manual_seed(options.round)
        model = models.build(str(model_options.pop("name")), 3, 32, classes, model_options)
        settings = options_from(models.section(values, "train"))
        epochs = list(fit(model, data, options=settings, compute=compute, seed=options.round))
    seconds = sum(epoch.seconds for epoch in epochs)
    accuracy = epochs[-1].validation_accuracy
    return Run(60 / seconds, "trainings/min", figures={"seconds": seconds, "accuracy": accuracy})
