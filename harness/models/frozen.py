"""A frozen encoder and a head that is trained on its embeddings, which are then computed once per data set.

The encoder stays out of the model's weights: it is named by its key, made when it is first needed, and shared
by all models of a process. A model file whose backbone is frozen returns a `FrozenModel`.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn

KEPT = "encoder."  # begins the names of an encoder's tensors, where they are kept with the head


@dataclass(frozen=True)
class OwnWeights:
    """Of an encoder whose weights are a user's file: they are kept with the head, and later the file is not needed.

    name: the encoder's key, but for what is in the file.   make: the encoder without them.
    """

    name: str
    make: Callable[[], nn.Module]


class Encoder:
    """A network without gradient, from (N, C, H, W) normalised images to (N, size) embeddings.

    key: equal keys give equal embeddings of equal images, so it names architecture, weights and input size.
    make: returns the network; random weights, if it has any, are drawn from a fixed seed.
    own: set where its weights are a user's file.   published: asks for published weights, see `require_published`.
    """

    def __init__(
        self,
        key: str,
        size: int,
        make: Callable[[], nn.Module],
        own: OwnWeights | None = None,
        published: Callable[[], None] = lambda: None,
    ):
        self.key, self.size, self._make, self.own = key, size, make, own
        self.require_published = published

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        network = self.network()
        network.to(images.device)
        with torch.no_grad():
            embeddings: torch.Tensor = network(images)
        return embeddings.float()

    def network(self) -> nn.Module:
        """The network itself, which all encoders of this key share."""
        return loaded(self.key, self._make)

    def require_file(self) -> None:
        """Raises UsageError where the weights are a user's file that does not fit. Keeps nothing."""
        if self.own is not None:
            self._make()

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """Use these weights, which were kept with a head, in place of the file's."""
        own = self.own
        if own is None:
            raise RuntimeError(f"the weights of {self.key} are not kept with its head")
        if not state:
            raise RuntimeError(f"the weights of {self.key} are missing")
        digest = hashlib.sha256()
        for name in sorted(state):
            digest.update(
                name.encode() + state[name].contiguous().view(-1).view(torch.uint8).numpy().tobytes()
            )

        def make() -> nn.Module:
            network = own.make()
            network.load_state_dict(state)
            return network

        self.key, self._make = f"{own.name} kept {digest.hexdigest()[:16]}", make


class Keep(Protocol):
    """Gives back the array kept under a key, made by the function the first time."""

    def __call__(self, key: str, make: Callable[[], torch.Tensor], /) -> torch.Tensor: ...


class FrozenModel(nn.Module):
    """(N, C, H, W) images, or what `inputs` made of their embeddings, to (N, classes) logits.

    normalisation: mean and standard deviation per channel that the encoder was trained with, for pixels
    scaled to 0..1, or None for those of the fold's training images.
    """

    def __init__(
        self,
        encoder: Encoder,
        head: nn.Module,
        normalisation: tuple[Sequence[float], Sequence[float]] | None = None,
    ):
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.normalisation = normalisation

    def prepare(self, keep: Keep) -> None:
        """Called once before the training: the place for embeddings that are not of images, e.g. of prompts."""

    def require_file(self) -> None:
        """Raises UsageError where the encoder's weights are a user's file that does not fit."""
        self.encoder.require_file()

    def require_published(self) -> None:
        """Raises HarnessError where published weights are neither here nor to be fetched. Fetches nothing."""
        self.encoder.require_published()

    def kept_state(self) -> dict[str, torch.Tensor]:
        """What is kept of it after the training: of the encoder only weights that were a user's file."""
        state: dict[str, torch.Tensor] = self.state_dict()
        if self.encoder.own is not None:
            own = self.encoder.network().state_dict()
            state |= {KEPT + name: tensor for name, tensor in own.items()}
        return state

    def load_kept_state(self, state: Mapping[str, torch.Tensor]) -> None:
        """Be the model that `kept_state` was of. Raises RuntimeError for what was of another one."""
        own = {name.removeprefix(KEPT): value for name, value in state.items() if name.startswith(KEPT)}
        self.load_state_dict({name: value for name, value in state.items() if not name.startswith(KEPT)})
        if own or self.encoder.own is not None:
            self.encoder.restore(own)

    def inputs(self, embeddings: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        """What the head is given: (N, size) embeddings -> (N, anything). labels: int64 (N,), None when predicting."""
        return embeddings

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if images.ndim == 4:
            images = self.inputs(self.encoder(images), None)
        logits: torch.Tensor = self.head(images)
        return logits


_networks: dict[str, nn.Module] = {}  # by key: one copy a process, whatever number of models use it


def loaded(key: str, make: Callable[[], nn.Module]) -> nn.Module:
    """The network of that key, in evaluation mode and without gradient; made by the first who asks."""
    if key not in _networks:
        with torch.inference_mode(False), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            _networks[key] = make().eval().requires_grad_(False)
    return _networks[key]
