"""A network of timm as a folder in timm's own convention: `timm.create_model("local-dir:FOLDER", pretrained=True)`."""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from harness.config.kinds import NO_NETWORK
from harness.errors import CheckFailed, StoreError, UsageError
from harness.files import telling_disk_trouble
from harness.inference.export import TOLERANCE, beside_predict, check_images, compared, described, on_cpu
from harness.inference.export_onnx import Run
from harness.inference.export_state_dict import only_network
from harness.inference.model import FoldModel, TrialModel
from harness.models.frozen import FrozenModel

MODEL = "timm_net"
NOTES = "harness.json"


def export_timm(
    model: TrialModel, target: Path, *, study: str, trial: int, images: np.ndarray | None = None
) -> dict[str, Any]:
    """Fill the new folder `target` with model.safetensors, config.json and harness.json; what the latter says.

    images: uint8 (N, C, H, W), on which the network that timm loads must agree; see `export.check_images`.
    Raises UsageError for a model that is not timm's, several networks, or a folder that is there already;
    CheckFailed, with nothing written, where they do not agree.
    """
    name = model.architecture.get("name")
    if name not in (MODEL, NO_NETWORK):
        raise UsageError(
            f"--format timm is for the model {MODEL}, and this is {name}; --format state_dict is for any"
        )
    fold = only_network(model, "model of timm")
    if target.exists():
        raise UsageError(f"{target}: is there already")
    import timm
    from safetensors.torch import save_file

    images = check_images(model.image_shape) if images is None else images
    as_studied = beside_predict(model, images)
    model = on_cpu(model)
    backbone, head = _parts(fold)
    whole, config = _with_classifier(model, fold, backbone, head)
    document = described(model, "timm", study, trial) | {
        "input": "float32 (N, C, H, W) of the size in config.json, normalised by its mean and std",
        "output": "float32 (N, classes): logits; softmax(logits / temperature) are the probabilities",
        "load": 'timm.create_model("local-dir:FOLDER", pretrained=True)',
    }
    with telling_disk_trouble(target, 0), tempfile.TemporaryDirectory(dir=target.absolute().parent) as place:
        folder = Path(place) / "model"
        folder.mkdir()
        state = {key: tensor.detach().clone() for key, tensor in whole.state_dict().items()}
        save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
        (folder / "config.json").write_text(
            json.dumps(config, indent=2, ensure_ascii=False), encoding="utf-8"
        )
        loaded = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
        run = _runner(loaded, config, backbone.interpolation, model.temperature)
        document |= compared(run, images, model.predict(images), "timm", TOLERANCE) | as_studied
        (folder / NOTES).write_text(json.dumps(document, indent=1, ensure_ascii=False), encoding="utf-8")
        try:
            shutil.move(folder, target)
        except FileExistsError:
            raise StoreError(f"{target}: another process has just made it") from None
    size = sum(path.stat().st_size for path in target.iterdir())
    return document | {"path": str(target), "bytes": size}


def _parts(fold: FoldModel) -> tuple[Any, Any]:
    """The Backbone, see `models/transfer.py`, and the linear layer on it."""
    network: Any = fold.network
    backbone = network.encoder.network() if isinstance(network, FrozenModel) else network.backbone
    return backbone, network.head[-1]


def _with_classifier(
    model: TrialModel, fold: FoldModel, backbone: Any, head: Any
) -> tuple[Any, dict[str, Any]]:
    """timm's network with its own last layer, which has the head's weights, and its config.json.

    Raises CheckFailed where timm's last layer is no single one.
    """
    import timm
    import torch

    known: Any = timm.get_pretrained_cfg(model.architecture["architecture"])
    channels = 3 if backbone.normalisation is not None else model.image_shape[0]
    fixed = {"img_size": backbone.size} if known.fixed_input_size else {}
    arguments = {"in_chans": channels, **fixed}
    whole: Any = timm.create_model(known.architecture, num_classes=len(model.classes), **arguments)
    missing, unexpected = whole.load_state_dict(backbone.network.state_dict(), strict=False)
    last: Any = whole.get_classifier()
    if unexpected or len(missing) != 2 or type(last) not in (torch.nn.Linear, torch.nn.Conv2d):
        raise CheckFailed(
            f"{known.architecture}: its last layer is no single one; --format state_dict takes it"
        )
    with torch.no_grad():
        last.weight.copy_(head.weight.view_as(last.weight))
        last.bias.copy_(head.bias)
    statistics = fold.statistics
    mean, std = (
        (backbone.mean.flatten().tolist(), backbone.std.flatten().tolist())
        if backbone.is_grey
        else (list(statistics.mean), list(statistics.std))
    )
    pretrained = {
        "tag": "harness",
        "custom_load": False,
        "input_size": [channels, backbone.size, backbone.size],
        "fixed_input_size": known.fixed_input_size,
        "interpolation": backbone.interpolation,
        "crop_pct": 1.0,
        "crop_mode": "center",
        "mean": mean,
        "std": std,
        "num_classes": len(model.classes),
        "pool_size": None,
        "first_conv": known.first_conv,
        "classifier": known.classifier,
    }
    return whole, {
        "architecture": known.architecture,
        "num_classes": len(model.classes),
        "num_features": whole.num_features,
        "model_args": arguments,
        "label_names": list(model.classes),
        "pretrained_cfg": pretrained,
    }


def _runner(network: Any, config: dict[str, Any], interpolation: str, temperature: float | None) -> Run:
    """The probabilities of pixels by timm's network, prepared as its config says."""
    import torch
    from torch.nn import functional as F

    told = config["pretrained_cfg"]
    mean, std = (torch.tensor(told[name])[:, None, None] for name in ("mean", "std"))
    size = tuple(told["input_size"][1:])

    def run(images: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            pixels = (torch.from_numpy(images).float() / 255 - mean) / std  # grey becomes three channels
            if pixels.shape[2:] != size:
                pixels = F.interpolate(pixels, size, mode=interpolation, antialias=True)
            logits = network(pixels)
            found: np.ndarray = (logits / (temperature or 1.0)).softmax(1).numpy()
        return found

    return run
