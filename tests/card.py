"""All that needs a GPU in one go, within the minutes that one has it.

The marked tests; one training beside airbench94_muon; folds one after the other and together; five trials of
`resnet_lr` in full size for as long as time is left, with its profile; the best of them again, bit for bit. A step that
fails or takes too long is written down, and the next one begins.

    python -m tests.card --root FOLDER --out FOLDER [--airbench airbench94_muon.py] [--minutes 10] [--rehearse]

--root: train/ and test/, each one folder of images a class.   --out: gets NAME.txt of each step and card.json.
--rehearse: the same steps on the processor, small, to see that everything is there.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

ENDING = 20.0  # seconds that an interrupted step has to end well


@dataclass(frozen=True)
class Step:
    """seconds: that it has at most."""

    name: str
    seconds: float
    command: list[str]


@dataclass(frozen=True)
class Outcome:
    """code: of its process; None where its time was up."""

    name: str
    code: int | None
    seconds: float


def steps(options: argparse.Namespace) -> Iterator[Step]:
    """In the order of how much they tell; the last two have what is left."""
    python, small = [sys.executable, "-u", "-m"], options.rehearse
    harness, home = [*python, "harness"], ["--home", str(options.out / "home")]
    device = ["--device", "cpu" if small else "cuda"]
    narrow = ["--set", "model.width=4", "--set", "train.epochs=1"] if small else []
    airbench = ["--airbench", str(options.airbench)] if options.airbench else []
    with_gpu_tests = ["tests/test_gpu.py", *(["tests/training/test_gradients.py"] if not small else [])]
    yield Step("gpu_tests", 90, [*python, "pytest", "-q", "-m", "gpu", *with_gpu_tests])
    yield Step(
        "training", 180,
        [*python, "tests.benchmarks", "card_training", "--runs", "1", "--root", str(options.root), *airbench, *device,
         *narrow],
    )  # fmt: skip
    size = ["--images", "400", "--epochs", "1"] if small else ["--images", "10000", "--epochs", "4"]
    yield Step(
        "folds", 100,
        [*python, "tests.benchmarks", "card_folds", "--runs", "1", "--root", str(options.root / "train"), *size,
         *device],
    )  # fmt: skip
    data = ["--set", "data.name=folder", "--set", f"data.root={(options.root / 'train').resolve()}"]
    less = [*narrow, "--set", "search.rung=null", "--set", "compute.device=cpu"] if small else []
    yield Step(
        "study", 60 * options.minutes,
        [*harness, "tune", "--study", "resnet_lr", "--trials", "2" if small else "5", "--profile", *data, *less, *home],
    )  # fmt: skip
    yield Step("reproduce", 60 * options.minutes, [*harness, "reproduce", "resnet_lr", *home])


def main() -> None:
    options = _options()
    options.out.mkdir(parents=True, exist_ok=True)
    deadline, kept = time.monotonic() + 60 * options.minutes, 30.0 if not options.rehearse else 0.0
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    if options.rehearse:
        environment["HARNESS_TEST_DEVICE"] = "cpu"
    outcomes = []
    for step in steps(options):
        left = deadline - time.monotonic() - (kept if step.name == "study" else 0)
        output = options.out / f"{step.name}.txt"
        outcomes.append(_run(step, max(min(step.seconds, left), 1), output, environment))
        print(
            f"{outcomes[-1].name:<10} {_said(outcomes[-1].code):<12} {outcomes[-1].seconds:6.1f} s",
            flush=True,
        )
        document = [asdict(outcome) for outcome in outcomes]
        (options.out / "card.json").write_text(json.dumps(document, indent=2), encoding="utf-8")
    sys.exit(any(outcome.code for outcome in outcomes))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.card", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--airbench", type=Path)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--rehearse", action="store_true")
    return parser.parse_args()


def _run(step: Step, seconds: float, output: Path, environment: dict[str, str]) -> Outcome:
    """Ctrl-C where its time is up, as what it has done by then is kept; its children end with it."""
    began = time.monotonic()
    with output.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(
            step.command,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
            env=environment,
        )
        code: int | None
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = None
            for number in (signal.SIGINT, signal.SIGKILL):
                if process.poll() is None:
                    os.killpg(process.pid, number)
                    try:
                        process.wait(ENDING)
                    except subprocess.TimeoutExpired:
                        continue
    return Outcome(step.name, code, time.monotonic() - began)


def _said(code: int | None) -> str:
    return "time was up" if code is None else "ok" if code == 0 else f"exit {code}"


if __name__ == "__main__":
    main()
