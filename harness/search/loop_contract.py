"""What must hold of a training loop of the user's own before trial 0: it is tried on a few of the study's images."""

from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np

from harness import models, training
from harness.config import search_space
from harness.config.kinds import NO_NETWORK
from harness.config.study_file import Study
from harness.data.images import Images
from harness.errors import UsageError

MOST_IMAGES = {True: 64, False: 512}  # by whether a network is trained, which takes longer
MOST_EPOCHS = 2
HELD_OUT = 0.2  # share of the images that it does not see
TOLERANCE = 1e-3  # of the largest logit, by which rounding may change those of an image among others


def try_loop(study: Study, settings: "training.Settings", images: Images) -> None:
    """Two trainings with one seed agree, predictions are no matter of chance, and what is kept predicts the same.

    Raises UsageError that says what does not hold, TrialError for what harness cannot take from it.
    """
    import torch

    values = search_space.resolve(study, search_space.defaults(study, {"train.loop": settings.train.loop}))
    architecture = models.architecture(values)
    name = str(architecture.pop("name"))
    few = _few(images, MOST_IMAGES[name != NO_NETWORK])
    _, channels, height, _ = few.pixels.shape
    compute = training.Compute(
        "cpu", "fp32", bool(study.compute["channels_last"]), int(str(study.compute["threads"]))
    )

    def build() -> Any:
        torch.default_generator.manual_seed(0)
        return models.build(name, channels, height, few.classes, architecture)

    with training.session(compute):
        model, before = build(), build().state_dict()
        statistics = _trained(model, few, settings, compute)

        def predict(one: Any, count: int = len(few)) -> Any:
            return training.predict_logits(one, few.pixels[:count], statistics, compute)

        logits, state = predict(model), model.state_dict()
        if name != NO_NETWORK and all(torch.equal(value.cpu(), before[key]) for key, value in state.items()):
            raise UsageError("leaves the network as it was: every weight is the same after an epoch")
        if not (logits == predict(model)).all():
            raise UsageError("makes what predicts the same images otherwise the second time")
        if abs(predict(model, 1) - logits[:1]).max() > TOLERANCE * abs(logits).max() + 1e-6:
            raise UsageError("makes what predicts an image otherwise among others than alone")
        again = build()
        _trained(again, few, settings, compute)
        if not (logits == predict(again)).all():
            raise UsageError(
                "gives other predictions when it trains once more with the same seed; draw from the generators of "
                "torch, numpy or random, or with `seed`, which it may take as an argument"
            )
        kept = build()
        kept.load_state_dict({key: value.detach().cpu().clone() for key, value in state.items()})
        kept.eval().to(compute.device)
        if not (logits == predict(kept)).all():
            raise UsageError(
                "keeps something else than what predicts: made again from its state, it predicts otherwise"
            )


def _trained(model: Any, few: Images, settings: "training.Settings", compute: "training.Compute") -> Any:
    """Train on a part of the images, for an epoch or two; what images are normalised by."""
    num_train = max(round(len(few) * (1 - HELD_OUT)), 1)
    places = np.arange(len(few))
    data = training.FoldData(
        pixels=few.pixels, labels=few.labels, train=places[:num_train], held_out=places[num_train:],
        num_classes=len(few.classes), classes=few.classes,
    )  # fmt: skip
    fitting = training.fit_by_own_loop(model, data, options=settings, compute=compute, seed=0)
    for _ in islice(fitting, MOST_EPOCHS):
        pass
    fitting.close()
    return training.statistics_for(model, few.pixels, data.train)


def _few(images: Images, most: int) -> Images:
    """At most so many images, one of each class after the other."""
    turns = np.empty(len(images), np.int64)  # 0 for the first image of each class, 1 for the second, …
    for label in range(len(images.classes)):
        turns[images.labels == label] = np.arange((images.labels == label).sum())
    return replace(images.take(np.lexsort((images.labels, turns))[:most]), path=None)
