"""What must hold of a study's network before its first trial: it takes the images, gives logits, and can learn.

A network that does not would cost a night of trials, and one of the wrong width is trained without a word: a loss over
more outputs than classes is a loss.
"""

import traceback
from typing import Any

import numpy as np

from harness import models
from harness.config import catalog, search_space
from harness.config.study_file import Study
from harness.data.images import Images
from harness.errors import HarnessError, Problem, StudyError

NUM_IMAGES = 2


def require_network(study: Study, images: Images) -> None:
    """Build the network of trial 0, the defaults, and send two images there and a gradient back.

    What the model itself refuses, as a combination of options that cannot be, is left to the trial: others may do.
    torch's random state stays as it was. Raises StudyError that names the model and the problem.
    """
    import torch

    options = models.section(search_space.resolve(study, search_space.defaults(study)), "model")
    name = str(options.pop("name"))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)  # torch.manual_seed would seed GPUs as well
        try:
            problem = _problem(name, options, images)
        except (HarnessError, MemoryError):
            return
        except Exception as error:  # whatever a model's file may raise
            problem = f"{_place(error, name)}{type(error).__name__}: {error}"
    if problem:
        raise StudyError(study.source, [Problem("model.name", f"{name}: {problem}")])


def _problem(name: str, options: Any, images: Images) -> str:
    """Why the network cannot be trained, or ""."""
    import torch
    from torch.nn import functional

    few = images.take(np.arange(min(NUM_IMAGES, len(images))))
    count, channels, height, _ = few.pixels.shape
    network: Any = models.build(name, channels, height, images.classes, options)
    labels = torch.from_numpy(few.labels)
    inputs = torch.from_numpy(few.pixels).float() / 255
    if hasattr(network, "encoder"):  # its head is all that is trained
        inputs = network.inputs(torch.randn(count, network.encoder.size), labels)
    logits = network.train()(inputs)
    if not isinstance(logits, torch.Tensor):
        return f"it gives a {type(logits).__name__} for images, not a tensor of logits"
    wanted = (count, len(images.classes))
    if tuple(logits.shape) != wanted:
        return f"for {count} images of {wanted[1]} classes its output has the shape {tuple(logits.shape)}, not {wanted}"
    if not logits.is_floating_point():
        return f"its logits are {logits.dtype}, not floating-point numbers"
    if not logits.isfinite().all():
        return "its logits for the first images are not finite"
    if logits.requires_grad:
        functional.cross_entropy(logits, labels).backward()  # type: ignore[no-untyped-call]
    gradients = [value.grad for value in network.parameters() if value.grad is not None]
    if not any(gradient.any() for gradient in gradients):
        return "no gradient reaches any of its parameters, so nothing can be trained"
    return ""


def _place(error: Exception, name: str) -> str:
    """The last line of the model's own file that the error came from, as "FILE:LINE: ", or ""."""
    file = str(catalog.PACKAGE / "models" / f"{name}.py")
    if isinstance(error, SyntaxError) and error.filename == file:
        return f"{file}:{error.lineno}: "
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f"{file}:{lines[-1]}: " if lines else ""
