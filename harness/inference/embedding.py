"""What a trained network makes of an image just before its last layer: a vector that similar images share."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from harness import training
from harness.data.decoding import DECODER
from harness.errors import HarnessError, UsageError
from harness.inference.model import FoldModel, TrialModel

if TYPE_CHECKING:
    from torch import nn

VERSION = 1  # raised when the same model would make other vectors of the same pixels


@dataclass(frozen=True, eq=False)
class _NetworkEmbedding:
    """layer: whose input is the vector; None for a frozen network, whose encoder's output it is."""

    fold: FoldModel
    layer: "nn.Module | None"
    size: int


class Embedder:
    """A trial's model as a function from images to vectors of length 1.

    A network's vector is the input of its last linear layer; a frozen network's is its encoder's output, CLIP's
    embedding for one. Vectors of several networks are joined, so that a scalar product is the mean of theirs.
    Raises HarnessError for a network without a linear layer.
    """

    def __init__(self, model: TrialModel):
        self.model = model
        self._networks = _network_embeddings(model)
        self.size = sum(part.size for part in self._networks)
        self.key = _key(model, self._networks)

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 (N, C, H, W) images, N >= 1, to float32 (N, size) vectors of length 1, or 0 where all is 0."""
        with training.session(self.model.compute):
            found = [_embedded(part, pixels, self.model) for part in self._networks]
        joined = np.concatenate([unit(vectors) for vectors in found], axis=1) / len(found) ** 0.5
        vectors: np.ndarray = joined.astype(np.float32)
        return vectors

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """Float32 (len(texts), size) vectors to be compared with those of images.

        Raises UsageError for a network that knows no texts.
        """
        network: Any = self._networks[0].fold.network
        if len(self._networks) > 1 or not hasattr(network, "embed_texts"):
            name = self.model.architecture.get("name", "this model")
            raise UsageError(f"{name} knows no texts; searching by text needs a model of CLIP (clip_fusion)")
        with training.session(self.model.compute):
            return unit(network.embed_texts(texts).numpy())


def unit(vectors: np.ndarray) -> np.ndarray:
    """(N, D) scaled to length 1, as float32. What is not finite becomes 0, and 0 stays 0."""
    finite = np.nan_to_num(vectors.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    length = np.linalg.norm(finite, axis=1, keepdims=True)
    scaled: np.ndarray = finite / np.where(length > 0, length, 1)
    return scaled


def _network_embeddings(model: TrialModel) -> tuple[_NetworkEmbedding, ...]:
    """One per network, but one only of those that share a frozen encoder."""
    from harness.models.frozen import FrozenModel  # loads torch

    found: dict[Any, _NetworkEmbedding] = {}
    for place, fold in enumerate(model.folds):
        if isinstance(fold.network, FrozenModel):
            encoder = fold.network.encoder
            found[encoder.key, fold.statistics] = _NetworkEmbedding(fold, None, encoder.size)
        else:
            layer = _last_linear(fold.network, model)
            found[place] = _NetworkEmbedding(fold, layer, layer.in_features)
    return tuple(found.values())


def _last_linear(network: "nn.Module", model: TrialModel) -> Any:
    """The linear layer that is called last."""
    import torch

    called: list[Any] = []
    layers = [layer for layer in network.modules() if isinstance(layer, torch.nn.Linear)]
    hooks = [layer.register_forward_hook(lambda layer, _, output: called.append(layer)) for layer in layers]
    try:
        with training.session(model.compute), torch.inference_mode():
            network(torch.zeros(1, *model.image_shape, device=model.compute.device))
    finally:
        for hook in hooks:
            hook.remove()
    if not called:
        name = model.architecture.get("loop") or model.architecture.get("name", "the network")
        raise HarnessError(f"{name} has no linear layer, so it has no vectors to search by")
    return called[-1]


def _embedded(part: _NetworkEmbedding, pixels: np.ndarray, model: TrialModel) -> np.ndarray:
    import torch

    network: Any = part.fold.network
    statistics = part.fold.statistics
    if part.layer is None:
        encoder: Any = network.encoder.network()
        encoder.to(model.compute.device)
        return training.predict_logits(encoder, pixels, statistics, model.compute)
    found: list[Any] = []
    hook = part.layer.register_forward_pre_hook(lambda _, inputs: found.append(inputs[0].float().flatten(1)))
    try:
        training.predict_logits(network, pixels, statistics, model.compute)
    finally:
        hook.remove()
    vectors: np.ndarray = torch.cat(found).cpu().numpy()
    return vectors


def _key(model: TrialModel, parts: Sequence[_NetworkEmbedding]) -> str:
    """SHA-256 of all that vectors depend on: weights, statistics, image size, precision."""
    how = [VERSION, DECODER, model.image_shape, model.compute.precision]
    how += [changed] if (changed := model.policy.changed()) else []
    made = hashlib.sha256(json.dumps(how).encode())
    for part in parts:
        network: Any = part.fold.network
        known = network.encoder.key if part.layer is None else dict(model.architecture)
        made.update(json.dumps([known, asdict(part.fold.statistics)]).encode())
        if part.layer is not None:
            for name, tensor in network.state_dict().items():
                made.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
                made.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return made.hexdigest()
