"""How large a study's models are and how long it will train, before it is begun.

`harness check` runs this in a process of its own, so that the check itself never waits for torch:
`python -m harness.search.preflight` reads a request from stdin and answers on stdout, both JSON.
"""

import itertools
import json
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

from harness import models, training
from harness.config import own_code, search_space
from harness.config.kinds import NO_NETWORK, STRATIFIED
from harness.config.own_code import HARNESS
from harness.config.settings import ends
from harness.config.study_file import Study, load_study_file
from harness.data import load_training
from harness.data.class_counts import count_classes
from harness.data.images import Images
from harness.data.split import make_split
from harness.data.split_makers import remarks
from harness.documents import from_json, plain_json
from harness.errors import HarnessError, StudyError
from harness.records import Values
from harness.search import preview
from harness.search.contract import require_metric, require_network
from harness.search.own_contract import require_own_code
from harness.search.sizes import Sizes, SizesRequest

MOST_CORNERS = 64  # of the model's space; more are thinned out evenly
MEASURED_IMAGES = 1024
MEASURED_SECONDS = 3.0
FOR_EVER, LEAST_LR = 10**6, 1e-6  # epochs; a learning rate


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
        arguments = {key: value for key, value in options.items() if key != "name"}
        try:
            model = models.build(str(options["name"]), in_channels, image_size, classes, arguments)
        except (HarnessError, ValueError):
            continue  # a combination that cannot be built fails its trial with the reason
        found.append((sum(parameter.numel() for parameter in model.parameters()), options))
    found.sort(key=lambda pair: pair[0])
    return [found[0], found[-1]] if found else []


def without_effect(study: Study, images: Images) -> list[str]:
    """The options that the study sets or searches, and that change nothing of images without three channels."""
    augment = study.train["augment"]
    if images.pixels.shape[1] == 3 or (isinstance(augment, str) and augment != "standard"):
        return []
    return [f"train.{name}" for name in ("saturation", "hue") if study.train.get(name, 0) != 0]


def images_per_second(study: Study, images: Images, params: Values, compute: Any) -> float:
    """Training speed of one trial's model on this machine, from a few real steps.

    Of a head on a frozen encoder whose embeddings are kept, it is the head's speed alone.
    """
    clock, speeds = time.monotonic(), []
    for speed in speeds_of(study, images, params, compute, num_images=MEASURED_IMAGES):
        speeds.append(speed)
        if time.monotonic() - clock >= MEASURED_SECONDS and len(speeds) >= 2:
            break
    return max(speeds)


def speeds_of(
    study: Study, images: Images, params: Values, compute: Any, *, num_images: int
) -> Generator[float, None, None]:
    """Images/s of short epochs of one trial's model, for as long as they are asked for."""
    import numpy as np
    import torch

    values = {**search_space.resolve(study, params), "train.epochs": FOR_EVER, "train.patience": None}
    values |= {"train.lr": LEAST_LR, "train.rest_lr": None}  # as fast as any, and it cannot diverge
    settings = training.options_from(models.section(values, "train"))
    chosen = np.arange(min(len(images.labels), num_images))
    few = images.take(chosen)
    options = models.section(values, "model")
    _, channels, height, _ = images.pixels.shape
    with training.session(compute):
        model: Any = models.build(str(options.pop("name")), channels, height, images.classes, options)
        inputs = few.pixels
        if hasattr(model, "encoder") and not settings.augment.changes_images:
            rows = torch.randn(len(few), model.encoder.size)
            inputs = model.inputs(rows, torch.from_numpy(few.labels)).numpy()
        data = training.FoldData(
            pixels=inputs,
            labels=few.labels,
            train=chosen,
            held_out=chosen[:1],
            num_classes=len(images.classes),
        )
        for epoch in training.fit(model, data, options=settings, compute=compute, seed=0):
            yield epoch.images_per_second


def answer(request: SizesRequest) -> Sizes:
    """What the study's images and models are like; draws what the training sees, if asked to.

    Raises StudyError for a network that cannot be trained, and for the user's own code that does not do what it should.
    """
    study = load_study_file(request.study, request.overrides)
    images = load_training(study.data)
    require_metric(study, images)
    warnings = require_network(study, images) + require_own_code(study, images)
    if study.cv.split != STRATIFIED:
        with tempfile.TemporaryDirectory() as scratch:
            fold_of = make_split(study, images, Path(scratch)).fold_of
        warnings += [f"cv.split: {remark}" for remark in remarks(fold_of, images)]
    if request.images:
        preview.draw_pictures(study, images, request.images)
    _, channels, height, _ = images.pixels.shape
    sizes = model_sizes(study, in_channels=channels, image_size=height, classes=images.classes)
    speeds: list[float] = []
    if request.measure and set(own_code.loops(study.train)) != {HARNESS}:
        warnings.append("how long it takes is not measured for a training loop of your own")
    elif request.measure:
        compute = training.resolve(training.ComputeOptions(**study.compute))  # type: ignore[arg-type]
        first = search_space.defaults(study)
        of_largest = {f"model.{key}": value for key, value in sizes[-1][1].items()}
        largest = search_space.defaults(study, of_largest)
        speeds = [images_per_second(study, images, params, compute) for params in (first, largest)]
    return Sizes(
        num_images=len(images.labels),
        balance=count_classes(images),
        without_effect=tuple(without_effect(study, images)),
        warnings=tuple(warnings),
        sizes=tuple(sizes),
        images_per_second=tuple(speeds),
    )


def answered(request: str) -> str:
    """One line of JSON for a request as JSON: the answer, or {"problems": …} of a StudyError, or {"error": …}."""
    try:
        return json.dumps(plain_json(answer(from_json(SizesRequest, json.loads(request)))))
    except StudyError as error:
        return json.dumps({"problems": [[problem.path, problem.message] for problem in error.problems]})
    except HarnessError as error:
        return json.dumps({"error": str(error)})


if __name__ == "__main__":
    print(answered(sys.stdin.read()))
