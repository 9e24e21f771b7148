"""How fast a study's networks train on this machine: from a few real steps."""

import time
from collections.abc import Generator
from typing import Any

from harness import models, training
from harness.config import search_space
from harness.config.study_file import Study
from harness.data.images import Images
from harness.records import Values

MEASURED_IMAGES = 1024
MEASURED_SECONDS = 3.0
FOR_EVER, LEAST_LR = 10**6, 1e-6  # epochs; a learning rate


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
