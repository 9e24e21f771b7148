"""Where a convolutional network looked: Grad-CAM.

Source: Selvaraju et al. 2017, Grad-CAM: visual explanations from deep networks via gradient-based localization
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from harness import training
from harness.inference.model import TrialModel

if TYPE_CHECKING:
    import torch


class GradCam:
    """A trial's model as a function from an image and a class to a map of what spoke for the class.

    Networks that end in no map of features, like transformers, have none to show.
    """

    def __init__(self, model: TrialModel):
        from harness.inference.portable import Portable  # loads torch

        self._model = model
        self._portable = Portable(model).eval().to(model.compute.device)

    def __call__(self, pixels: np.ndarray, label: int) -> np.ndarray | None:
        """uint8 (C, H, W) to float32 (h, w) of the features' size in 0..1, or None where there is none to show.

        Of several networks it is the mean of their maps.
        """
        import torch

        images = torch.from_numpy(pixels[None]).to(self._model.compute.device).float()
        with training.session(self._model.compute), torch.enable_grad():
            found = [self._of_network(place, images, label) for place in range(len(self._model.folds))]
        maps = [one for one in found if one is not None]
        if len(maps) < len(found):
            return None
        mean = torch.stack(maps).mean(0)
        heat: np.ndarray = (mean / mean.max().clamp(min=1e-12)).cpu().numpy()
        return heat

    def _of_network(self, place: int, images: "torch.Tensor", label: int) -> "torch.Tensor | None":
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
        gradient: Any = torch.autograd.grad(logits[0, label], last[0], allow_unused=True)[0]
        if gradient is None:
            return None
        weights = gradient.mean((2, 3), keepdim=True)
        heat: torch.Tensor = (weights * last[0].detach()).sum(1)[0].relu()
        return heat / heat.max().clamp(min=1e-12)
