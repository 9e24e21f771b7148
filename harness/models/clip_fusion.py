"""CLIP's frozen image and text encoders, compared as they are (zero-shot) or joined by a trained head.

Source: Radford et al. 2021, arXiv 2103.00020; encoders and weights by open_clip (extra `clip`)
Parameters: 1
"""

import json
from collections.abc import Sequence
from math import log
from typing import Annotated, Literal, assert_never

import torch
from torch import nn
from torch.nn import functional as F

from harness.config.signatures import Between, NamesFile
from harness.errors import HarnessError, UsageError
from harness.models import clip_encoders
from harness.models.frozen import FrozenModel, Keep


def build(
    in_channels: int,
    image_size: int,
    classes: Sequence[str],
    *,
    architecture: Annotated[str, NamesFile()] = "ViT-B-32",
    weights: Annotated[str, NamesFile()] | None = None,
    text: Literal["class_prompts", "label_prompt"] = "class_prompts",
    prompt: str = "a photo of a {}.",
    head: Literal["zero_shot", "fusion"] = "zero_shot",
    layers: Annotated[int, Between(0, 8)] = 2,
    width: Annotated[int, Between(1, 8192)] = 256,
    dropout: Annotated[float, Between(0.0, 0.95)] = 0.2,
) -> nn.Module:
    """An image's embedding and a text's go into a head; the encoders are never trained.

    architecture: a name of open_clip's, or the path of a config, see `models/clip_encoders.py`.
    weights: a tag of open_clip's, or the path of a checkpoint; null is random weights.
    text: class_prompts gives the head the image's similarity to the prompt of every class; label_prompt gives
    it the embedding of the prompt of the image's own label: the label LEAKS, any score is meaningless, and
    nothing can be predicted without knowing it. It is here so that the leak can be shown and caught.
    prompt: {} stands for the name of a class.
    head: zero_shot is CLIP's own answer, and only its temperature is trained; fusion has `layers` times
    Linear, BatchNorm, ReLU and Dropout, then a Linear: 0 layers is a linear probe.
    layers: hidden ones of the fusion.   width: units of these.   dropout: after each of these.
    """
    if "{}" not in prompt:
        raise UsageError(f"model.prompt must hold {{}} where the name of a class belongs (got {prompt!r})")
    if in_channels not in (1, 3):
        raise UsageError(f"model clip_fusion takes images of 1 or 3 channels (got {in_channels})")
    if (text, head) == ("label_prompt", "zero_shot"):
        raise UsageError(
            "model.head zero_shot compares the prompts of all classes, and with text: label_prompt there is "
            "one; set model.head=fusion"
        )
    leaking = {"class_prompts": False, "label_prompt": True}[text]
    clip = clip_encoders.find(architecture, weights)
    size, num_classes = clip.embedding_size, len(classes)
    layer: nn.Module
    match head:
        case "zero_shot":
            layer = ZeroShot(num_classes)
        case "fusion":
            layer = _fusion(size + (size if leaking else num_classes), num_classes, layers, width, dropout)
        case _:
            assert_never(head)
    prompts = [prompt.replace("{}", name.replace("_", " ")) for name in classes]
    return ClipFusion(clip, layer, prompts, in_channels, leaking=leaking)


class ClipFusion(FrozenModel):
    """The texts' embeddings are saved with the head, so predicting takes the image encoder only.

    They are random until `prepare`, or the loading of saved weights, sets them.
    """

    texts: torch.Tensor

    def __init__(
        self,
        clip: clip_encoders.Clip,
        head: nn.Module,
        prompts: Sequence[str],
        in_channels: int,
        *,
        leaking: bool,
    ):
        constants = clip_encoders.MEAN[:in_channels], clip_encoders.STD[:in_channels]
        super().__init__(clip.image_encoder(), head, constants)
        self._clip, self._prompts, self._leaking = clip, list(prompts), leaking
        self.register_buffer("texts", F.normalize(torch.randn(len(prompts), clip.embedding_size), dim=-1))

    def prepare(self, keep: Keep) -> None:
        """Embed the prompts, once per prompt set and CLIP."""
        key = f"{self._clip.key} {json.dumps(self._prompts)}"
        self.texts.copy_(keep(key, lambda: self._clip.embed_texts(self._prompts)))

    def embed_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """(len(texts), size) float32 embeddings of length 1, to be compared with those of images."""
        return self._clip.embed_texts(texts)

    def inputs(self, embeddings: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        """(N, size) -> (N, size + classes), the similarities last; leaking: (N, 2·size), the label's text last."""
        if not self._leaking:
            with torch.autocast(embeddings.device.type, enabled=False):  # half precision would make ties
                return torch.cat([embeddings, embeddings @ self.texts.T], dim=1)
        if labels is None:
            raise HarnessError(
                "a model of text: label_prompt needs an image's label to predict its label, so it cannot "
                "predict; train one with text: class_prompts"
            )
        return torch.cat([embeddings, self.texts[labels]], dim=1)


class ZeroShot(nn.Module):
    """Similarities at a temperature: the order of the classes is CLIP's own, only the confidence is trained."""

    def __init__(self, num_classes: int):
        super().__init__()
        self.num_classes = num_classes
        self.log_scale = nn.Parameter(torch.tensor(log(100.0)))  # where CLIP's own training ends

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.log_scale.exp() * inputs[:, -self.num_classes :]


def _fusion(num_inputs: int, num_classes: int, layers: int, width: int, dropout: float) -> nn.Sequential:
    parts: list[nn.Module] = []
    for _ in range(layers):
        parts += [nn.Linear(num_inputs, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(dropout)]
        num_inputs = width
    return nn.Sequential(*parts, nn.Linear(num_inputs, num_classes))
