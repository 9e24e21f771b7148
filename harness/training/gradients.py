"""The gradients of one batch: computed plainly, or by one replay of a CUDA graph.

The step of a small network is some hundred kernels, each of which a GPU finishes sooner than Python names the next.
Captured once they are all started by one call. The graph holds forward, loss and backward; a batch is copied to where
it reads. Augmentation, clipping, optimisers and averages stay outside, as they are.
Source: Feng et al. 2021, pytorch.org/blog/accelerating-pytorch-with-cuda-graphs
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from harness.profiler import phase
from harness.training.augment import as_labels
from harness.training.compute import Compute
from harness.training.pixels import autocast

log = logging.getLogger(__name__)
WARM_UP = 3  # steps before a capture, in which libraries choose and set up what they may not while it lasts
MOST_DIFFERENCE = 1e-3  # between the first gradients of both ways, relative to their length

Outcome = tuple[
    torch.Tensor, torch.Tensor
]  # mean loss, and how many images are right; of one batch, on the device
Gradients = Callable[[torch.Tensor, torch.Tensor], Outcome]
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class PlainGradients:
    """Sets the gradient of every parameter to that of a batch's loss; the reference for all other ways.

    loss: of float32 logits (B, classes) and targets, int64 (B,) labels or (B, classes) shares of them.
    """

    def __init__(self, model: nn.Module, compute: Compute, loss: Loss):
        self.model, self.compute, self._loss = model, compute, loss

    def __call__(self, images: torch.Tensor, targets: torch.Tensor) -> Outcome:
        """images: float32 (B, C, H, W), or (B, D) from a frozen encoder."""
        self.model.zero_grad()
        mean, correct = images.new_zeros(()), targets.new_zeros((), dtype=torch.int64)
        for part, aims in zip(
            *(whole.chunk(self.compute.micro_batches) for whole in (images, targets)), strict=True
        ):
            with phase("forward"):
                with autocast(self.compute):
                    logits = self.model(part)
                loss = self._loss(logits.float(), aims) * (len(part) / len(images))
            with phase("backward"):
                loss.backward()  # type: ignore[no-untyped-call]
            mean += loss.detach()
            correct += (logits.detach().argmax(1) == as_labels(aims)).sum()
        return mean, correct


class GraphedGradients:
    """The same for batches of the first one's shape, by replaying a graph of it; others are computed plainly.

    The first batch is computed both ways. Where a network cannot be captured, or its gradients differ, all batches are
    computed plainly and a warning says so.
    """

    def __init__(self, plain: PlainGradients):
        self._plain = plain
        self._replayed: _Replayed | None = None
        self._tried = False

    def __call__(self, images: torch.Tensor, targets: torch.Tensor) -> Outcome:
        if not self._tried:
            self._tried = True
            with phase("preparation"):
                self._replayed = self._agreeing(images, targets)
        if self._replayed is None or not self._replayed.takes(images, targets):
            return self._plain(images, targets)
        with phase("forward and backward"):
            return self._replayed(images, targets)

    def _agreeing(self, images: torch.Tensor, targets: torch.Tensor) -> "_Replayed | None":
        try:
            with _unchanged(self._plain.model):
                replayed = _Replayed(self._plain, images, targets)
            first, second = (self._flat(way, images, targets) for way in (self._plain, replayed))
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            reason = str(error).strip().partition("\n")[0]
            log.warning("the training step cannot be captured as a CUDA graph, so it is not: %s", reason)
            return None
        difference = float((first - second).norm() / first.norm().clamp_min(1e-30))
        if difference <= MOST_DIFFERENCE:
            return replayed
        log.warning(
            "the CUDA graph's first gradients differ from the plain ones by %.1g, so it is not used",
            difference,
        )
        return None

    def _flat(self, way: Gradients, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """All gradients as one vector, with nothing changed."""
        with _unchanged(self._plain.model):
            way(images, targets)
            return torch.cat([gradient.flatten() for gradient in _gradients_of(self._plain.model)])


class _Replayed:
    """A graph, where it reads its batch, and where it leaves its gradients."""

    def __init__(self, plain: PlainGradients, images: torch.Tensor, targets: torch.Tensor):
        self._images, self._targets = images.clone(), targets.clone()
        self._replay, self._outcome = captured(lambda: plain(self._images, self._targets))
        self._parameters = [one for one in plain.model.parameters() if one.grad is not None]
        self._gradients = _gradients_of(plain.model)

    def takes(self, images: torch.Tensor, targets: torch.Tensor) -> bool:
        return images.shape == self._images.shape and targets.shape == self._targets.shape

    def __call__(self, images: torch.Tensor, targets: torch.Tensor) -> Outcome:
        self._images.copy_(images)
        self._targets.copy_(targets)
        self._replay()
        for parameter, gradient in zip(self._parameters, self._gradients, strict=True):
            parameter.grad = gradient  # a batch that was computed plainly left others
        return self._outcome


def captured(step: Callable[[], Outcome]) -> tuple[Callable[[], None], Outcome]:
    """The step as a CUDA graph: what replays it, and where it then leaves its outcome."""
    beside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    beside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(beside):
        for _ in range(WARM_UP):
            step()
    torch.cuda.current_stream().wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(
        graph, capture_error_mode="thread_local"
    ):  # other threads may use the device meanwhile
        outcome = step()
    return graph.replay, outcome


@contextmanager
def _unchanged(model: nn.Module) -> Iterator[None]:
    """Put the buffers, such as running statistics, and the random state back afterwards."""
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    device = next(model.parameters()).device
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield
    finally:
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)


def _gradients_of(model: nn.Module) -> list[torch.Tensor]:
    return [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
