"""What `harness check` says of a study's images and models, and all that is wrong: in a process of its own.

So the command itself never waits for torch: `python -m harness.search.checking` reads a request from stdin and answers
on stdout, both JSON; warnings are told on stderr.
"""

import itertools
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from harness import training
from harness.config import own_code, search_space
from harness.config.kinds import NO_NETWORK
from harness.config.own_code import HARNESS
from harness.config.settings import ends
from harness.config.study_file import Study, load_study_file
from harness.data.class_counts import count_classes
from harness.data.images import Images
from harness.documents import from_json, plain_json
from harness.errors import HarnessError, StudyError
from harness.folds.executor_options import ExecutorOptions
from harness.messages import to_stderr
from harness.records import Values
from harness.search import preview
from harness.search.constraints import network_size
from harness.search.image_warnings import without_effect
from harness.search.preflight import Preflight, preflight
from harness.search.sizes import Checked, Sizes, SizesRequest
from harness.search.speed import images_per_second

MOST_CORNERS = 64  # of the model's space; more are thinned out evenly


def model_sizes(
    study: Study, *, in_channels: int, image_size: int, classes: Sequence[str]
) -> list[tuple[int, Values]]:
    """(parameters, model options) of the smallest and the largest model at the corners of the space."""
    corners: list[Values] = []
    for name, settings in study.models.items():
        if name == NO_NETWORK:
            continue
        rows = list(itertools.product(*map(ends, settings.values())))
        few = [*rows[:: -(-len(rows) // MOST_CORNERS)], rows[-1]]
        corners += [{"name": name, **dict(zip(settings, row, strict=True))} for row in few]
    found = []
    for options in corners:
        try:
            size = network_size(options, (in_channels, image_size, image_size), classes)
        except Exception as error:  # a combination that cannot be made fails its trial with the reason
            del error
            continue
        found.append((size.parameters, options))
    found.sort(key=lambda pair: pair[0])
    return [found[0], found[-1]] if found else []


def answer(request: SizesRequest) -> Checked:
    """What is wrong with a study and what its images and models are like; draws what the training sees, if asked to."""
    study = load_study_file(request.study, request.overrides)
    with tempfile.TemporaryDirectory(prefix="harness-check-") as scratch:  # nothing is written into the store
        found = preflight(
            study, Path(scratch), disk=request.home, executor=ExecutorOptions(executor=request.executor)
        )
    return Checked(found.problems, found.warnings, _sizes(study, found, request))


def _sizes(study: Study, found: Preflight, request: SizesRequest) -> Sizes | None:
    if found.data is None:
        return None
    images = found.data.train
    sizes = tuple(_model_sizes_for(study, images))
    speeds = tuple[float, ...]()
    if not found.problems:
        if request.images:
            preview.draw_pictures(study, images, request.images, found.alike)
        if request.measure and set(own_code.loops(study.train)) == {HARNESS}:
            speeds = _speeds(study, images, sizes)
    return Sizes(
        num_images=len(images.labels),
        num_sealed=found.data.test.num_images,
        balance=count_classes(images),
        without_effect=tuple(without_effect(study, images)),
        sizes=sizes,
        images_per_second=speeds,
    )


def _model_sizes_for(study: Study, images: Images) -> list[tuple[int, Values]]:
    _, channels, height, _ = images.pixels.shape
    return model_sizes(study, in_channels=channels, image_size=height, classes=images.classes)


def _speeds(study: Study, images: Images, sizes: Sequence[tuple[int, Values]]) -> tuple[float, ...]:
    """Images a second of trial 0 and of the largest model."""
    compute = training.resolve(training.ComputeOptions(**study.compute))  # type: ignore[arg-type]
    first = search_space.defaults(study)
    of_largest = {f"model.{key}": value for key, value in sizes[-1][1].items()}
    largest = search_space.defaults(study, of_largest)
    return tuple(images_per_second(study, images, params, compute) for params in (first, largest))


def answered(request: str) -> str:
    """One line of JSON for a request as JSON: what was found, or {"error": …} with its exit code."""
    try:
        return json.dumps(plain_json(answer(from_json(SizesRequest, json.loads(request)))))
    except StudyError as error:
        return json.dumps(plain_json(Checked(error.problems, ())))
    except HarnessError as error:
        return json.dumps({"error": str(error), "exit_code": error.exit_code})


if __name__ == "__main__":
    to_stderr()
    print(answered(sys.stdin.read()))
