"""What `harness check` says of a study: its space, how much it trains at most, its models' sizes, its time."""

import json
import math
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.cli.tables import number
from harness.config import own_code, search_space
from harness.config.settings import Choice, Conditional, ends
from harness.config.space import Parameter
from harness.config.study_file import Study, as_json
from harness.documents import from_json, plain_json, to_json
from harness.errors import HarnessError, StoreError
from harness.folds.executor_options import ExecutorKind
from harness.records import SCHEMA, Values
from harness.report.format import duration, times
from harness.search.sizes import Checked, Sizes, SizesRequest


@dataclass(frozen=True)
class Plan:
    """What can be said of a study without torch and the images.

    space: what is searched, as a study file has it.   defaults: trial 0.   num_…: at most, of the whole study;
    num_epochs is 0 where nobody knows it.
    """

    study: str
    space: Mapping[str, Any]
    defaults: Values
    num_trials: int
    num_folds: int
    num_epochs: int


def plan(study: Study) -> Plan:
    """What the study searches and trains at most."""
    trials = search_space.num_trials(study)
    folds = trials * study.cv.num_folds
    return Plan(
        study=study.name,
        space={parameter.name: _as_json(parameter) for parameter in study.space.parameters},
        defaults=search_space.defaults(study),
        num_trials=trials,
        num_folds=folds,
        num_epochs=folds * _most_epochs(study),
    )


def described(study: Study, plan: Plan) -> tuple[list[tuple[str, str, str]], str]:
    """The plan for people: (name, values, trial 0's value) of what is searched, and a line of totals."""
    asked = {parameter.name for parameter in study.space.asked(plan.defaults)}
    rows = [
        (one.name, in_words(one), number(plan.defaults[one.path]) if one.name in asked else "")
        for one in study.space.parameters
    ]
    size = study.space.size()
    epochs = f", {plan.num_epochs:,} epochs" if plan.num_epochs else ""
    combinations = "infinitely many" if math.isinf(size) else f"{size:,.0f}"
    totals = (
        f"at most {times(plan.num_trials, 'trial')} × {times(study.cv.num_folds, 'fold')} = "
        f"{times(plan.num_folds, 'fold')}"
        f"{epochs}; {combinations} combinations; sampler {study.search.sampler}, "
        f"racing {study.search.racing}, {_objectives(study)}"
    )
    return rows, totals


def _objectives(study: Study) -> str:
    if not study.others:
        return f"objective {study.objective}"
    names = [f"{one.name} {'↑' if one.direction == 'maximize' else '↓'}" for one in study.objectives]
    return f"objectives {', '.join(names)}; statistics are of {study.objective}"


def in_words(parameter: Parameter) -> str:
    """Like "0.001 … 0.1 (log)" or "16, 32, 64", with " if model.name is resnet" where that is not for all trials."""
    setting = parameter.setting
    conditions = [f"{name} is {' or '.join(map(number, values))}" for name, values in parameter.when.items()]
    when = f" if {' and '.join(conditions)}" if conditions else ""
    if isinstance(setting, Choice):
        return ", ".join(number(value) for value in setting.values) + when
    step = f" (step {setting.step:g})" if setting.step else ""
    return f"{setting.low:g} … {setting.high:g}{' (log)' if setting.log else ''}{step}{when}"


def ask_sizes(
    study: Study,
    overrides: list[str],
    *,
    home: Path,
    executor: ExecutorKind,
    measure: bool,
    images: Path | None,
) -> Checked:
    """The answer of `search/checking.py`, from a process of its own, which also draws `images` if asked to.

    What it warns of is on stderr. Raises HarnessError, StoreError, where it cannot answer.
    """
    asked = SizesRequest(study.source, tuple(overrides), home, executor, measure, images)
    with _above() as stderr:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "harness.search.checking"],  # nothing of the current folder
            input=json.dumps(plain_json(asked)),
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            check=False,
        )
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        code = f"exit code {done.returncode}"
        raise HarnessError(
            f"{study.source}: something that the study names ended the process that tried it ({code})"
        )
    reply = json.loads(lines[-1])
    if "error" in reply:
        raise (StoreError if reply["exit_code"] == StoreError.exit_code else HarnessError)(reply["error"])
    return from_json(Checked, reply)


@contextmanager
def _above() -> Iterator[int | None]:
    """A file in which a process says something, above the line that a terminal has of this one; else None."""
    if not sys.stderr.isatty():
        yield None
        return
    reading, writing = os.pipe()

    def tell() -> None:
        with os.fdopen(reading, encoding="utf-8", errors="replace") as stream:
            for line in stream:
                print(line, end="", file=sys.stderr)

    telling = threading.Thread(target=tell)
    telling.start()
    try:
        yield writing
    finally:
        os.close(writing)
        telling.join()


def document(plan: Plan | None, checked: Checked) -> dict[str, Any]:
    """What `harness check --json` prints.   plan: None where the study file itself is wrong."""
    found = plain_json(checked)
    sizes = found.pop("sizes") or {}
    return {**({"schema": SCHEMA} if plan is None else to_json(plan)), **found, **sizes}


def size_lines(study: Study, plan: Plan, sizes: Sizes) -> list[str]:
    """Images, models and time in words."""
    balance = sizes.balance
    (small, fewest), (large, most) = balance.smallest, balance.largest
    line = f"{sizes.num_images:,} images in {balance.num_classes} classes: "
    if fewest == most:
        line += f"{most:,} of each"
    else:
        line += f"from {fewest:,} of {small} to {most:,} of {large}, ratio {balance.ratio:.1f}"
    if balance.num_groups is not None:
        line += f"; {balance.num_groups:,} groups, the largest of {balance.largest_group:,} images"
    if sizes.num_sealed:
        line += f"; {sizes.num_sealed:,} more are sealed for the test"
    lines = [line]
    for word, (count, options) in zip(("smallest", "largest"), sizes.sizes, strict=False):
        differing = {one.path.removeprefix("model.") for one in study.space.parameters}
        chosen = ", ".join(f"{key} {number(value)}" for key, value in options.items() if key in differing)
        lines.append(f"{word} model: {count:,} parameters" + (f" ({chosen})" if chosen else ""))
    if sizes.images_per_second:
        trained_on = sizes.num_images * (1 - 1 / study.cv.parts) * plan.num_epochs
        words = ("if all were like trial 0", "if all had the largest model")
        for word, speed in zip(words, sizes.images_per_second, strict=True):
            lines.append(f"{duration(trained_on / speed)} in one process {word} ({speed:,.0f} images/s)")
    return lines


def _most_epochs(study: Study) -> int:
    """Of a fold; 0 where a training loop of the user's own does not take their number."""
    if not own_code.is_read(own_code.options_of(study.train)["epochs"], study.train):
        return 0
    return max(int(value or 0) for value in ends(study.train["epochs"]))


def _as_json(parameter: Parameter) -> Any:
    setting, when = parameter.setting, parameter.when
    return as_json(Conditional(setting, parameter.default, when) if when else setting)
