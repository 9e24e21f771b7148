"""Where a convolutional network looked: Grad-CAM.

Source: Selvaraju et al. 2017, Grad-CAM: visual explanations from deep networks via gradient-based localization
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harness import training
from harness.inference.model import TrialModel

if TYPE_CHECKING:
    import torch

CHUNK_PIXELS = 2**17  # of a forward pass whose activations are kept: 128 images of 32×32, 2 of 224×224


class GradCam:
    """A trial's model as a function from images and a class for each to maps of what spoke for the classes.

    Networks that end in no map of features, like transformers, have none to show.
    """

    def __init__(self, model: TrialModel):
        from harness.inference.portable import Portable  # loads torch

        self._model = model
        self._portable = Portable(model).eval().to(model.compute.device)

    def __call__(self, pixels: np.ndarray, labels: Sequence[int]) -> np.ndarray | None:
        """uint8 (N, C, H, W) to float32 (N, h, w) of the features' size in 0..1, or None where there is none to show.

        labels: of each image, N >= 1. Of several networks it is the mean of their maps.
        """
        chunk = max(1, CHUNK_PIXELS // (pixels.shape[2] * pixels.shape[3]))
        parts = []
        for start in range(0, len(pixels), chunk):
            part = self._of_chunk(pixels[start : start + chunk], labels[start : start + chunk])
            if part is None:
                return None
            parts.append(part)
        return np.concatenate(parts)

    def _of_chunk(self, pixels: np.ndarray, labels: Sequence[int]) -> np.ndarray | None:
        import torch

        images = torch.from_numpy(pixels).to(self._model.compute.device).float()
        with training.session(self._model.compute), torch.enable_grad():
            found = [self._of_network(place, images, labels) for place in range(len(self._model.folds))]
        maps = [one for one in found if one is not None]
        if len(maps) < len(found):
            return None
        heat: np.ndarray = _up_to_1(torch.stack(maps).mean(0)).cpu().numpy()
        return heat

    def _of_network(self, place: int, images: "torch.Tensor", labels: Sequence[int]) -> "torch.Tensor | None":
        import torch

        network: Any = self._portable.networks[place]
        if any("Attention" in type(part).__name__ for part in network.modules()):
            return None  # its features mix all places
        last: list[torch.Tensor] = []

        def remember(_module: Any, _inputs: Any, output: Any) -> None:
            if isinstance(output, torch.Tensor) and output.ndim > 2 and output.shape[2:].numel() > 1:
                last[:] = [output]

        inputs = torch.addcmul(self._portable.shift[place], images, self._portable.scale[place])
        hooks = [part.register_forward_hook(remember) for part in network.modules()]
        try:
            logits = network(inputs.requires_grad_())  # also where no weight wants a gradient
        finally:
            for hook in hooks:
                hook.remove()
        if not last or last[0].ndim != 4:
            return None
        chosen = logits[torch.arange(len(labels)), list(labels)]  # an image's own depends on no other image
        gradient: Any = torch.autograd.grad(chosen.sum(), last[0], allow_unused=True)[0]
        if gradient is None:
            return None
        weights = gradient.mean((2, 3), keepdim=True)
        return _up_to_1((weights * last[0].detach()).sum(1).relu())


def _up_to_1(maps: "torch.Tensor") -> "torch.Tensor":
    """(N, h, w), each divided by its greatest value."""
    return maps / maps.amax((1, 2), keepdim=True).clamp(min=1e-12)
