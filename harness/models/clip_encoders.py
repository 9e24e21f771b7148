"""CLIP's image and text encoders, frozen, by open_clip; loaded when something is first encoded.

The weights of a tag are the file that open_clip names for it: for most, `open_clip_model.safetensors` of a
repository on huggingface.co (ViT-B-32 with `openai`: timm/vit_base_patch32_clip_224.openai). It is fetched once
into huggingface_hub's cache (HF_HUB_CACHE, else ~/.cache/huggingface/hub), which names a file by its SHA-256;
the file is compared with that name whenever it is loaded.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from harness.config.settings import expanded
from harness.errors import HarnessError, UsageError, did_you_mean
from harness.models.frozen import Encoder, loaded
from harness.models.weights import from_hub, require_hub, sha256

MEAN = (0.48145466, 0.4578275, 0.40821073)  # of the images that OpenAI's CLIP was trained on
STD = (0.26862954, 0.26130258, 0.27577711)
AT_ONCE = 64  # images, which are enlarged to CLIP's input size


@dataclass(frozen=True)
class Clip:
    """One CLIP, not loaded yet.

    key: equal for equal encoders: their names, or the hashes of files.
    config: open_clip's, of both encoders.   preprocessing: may have a `mean` and `std` of the config's own.
    tag, file: the weights, by open_clip's name or in a file; without either they are random, of a fixed seed.
    """

    key: str
    architecture: str
    config: dict[str, Any]
    preprocessing: dict[str, Any]
    tag: str | None
    file: Path | None

    @property
    def embedding_size(self) -> int:
        return int(self.config["embed_dim"])

    def image_encoder(self) -> Encoder:
        """To embeddings of length 1, of images normalised by MEAN and STD; grey ones by the first of each."""
        return Encoder(self.key, self.embedding_size, self._image_tower, published=self._require_published)

    def embed_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """(len(texts), embedding_size) float32 embeddings of length 1, on the CPU."""
        clip = self._loaded()
        import open_clip

        with _telling(f"the tokenizer of {self.architecture} cannot be loaded"):
            if _is_path(self.architecture):
                context_length = self.config["text_cfg"].get("context_length", 77)
                tokenizer: Any = open_clip.SimpleTokenizer(context_length=context_length)
            else:
                tokenizer = open_clip.get_tokenizer(self.architecture)
            tokens = tokenizer(list(texts)).to(next(clip.parameters()).device)
        with torch.no_grad():
            return F.normalize(clip.encode_text(tokens).float(), dim=-1).cpu()

    def _image_tower(self) -> nn.Module:
        preprocessing = {**self.preprocessing, **self._published()}
        return _ImageTower(self._loaded(), preprocessing.get("mean", MEAN), preprocessing.get("std", STD))

    def _loaded(self) -> Any:
        return loaded(f"{self.key}, images and texts", self._make)

    def _make(self) -> nn.Module:
        import open_clip

        published, file = self._published(), self.file
        if published:
            file = from_hub(*_repository_and_names(published))
        text = {**self.config["text_cfg"], "hf_model_pretrained": False}
        config = {**self.config, "text_cfg": text}
        if published.get("quick_gelu"):  # as the weights were trained, whatever the architecture's file says
            config["quick_gelu"] = True
        custom = config.pop("custom_text", "hf_model_name" in text)
        kind = open_clip.CustomTextCLIP if custom else open_clip.CLIP
        if "multimodal_cfg" in config:
            kind = open_clip.CoCa
        with _telling(f"{self.architecture} with {file or 'random weights'} cannot be made"):
            clip: nn.Module = kind(**config)
            if file:
                open_clip.load_checkpoint(clip, str(file))
        return clip

    def _require_published(self) -> None:
        """Raises HarnessError where the tag's weights are neither here nor to be fetched."""
        if published := self._published():
            require_hub(*_repository_and_names(published))

    def _published(self) -> dict[str, Any]:
        """What open_clip knows of the tag: where its file is and how its images were prepared."""
        if self.tag is None:
            return {}
        import open_clip

        tag: dict[str, Any] = open_clip.get_pretrained_cfg(self.architecture, self.tag)
        if not tag:
            known = open_clip.list_pretrained_tags_by_model(self.architecture)
            raise UsageError(
                f"model.weights: {self.architecture} has no '{self.tag}'{did_you_mean(self.tag, known)}"
            )
        return tag


def find(architecture: str, weights: str | None) -> Clip:
    """The CLIP of these names; a name with a dot is a path: of a config in open_clip's format, a checkpoint.

    It reads open_clip's own configs but does not import it, which takes seconds: what is encoded already
    needs no encoder. A tag is looked up when its weights are loaded.
    Raises UsageError for an architecture or file that there is not, and without open_clip.
    """
    path = _config_path(architecture)
    try:
        document = json.loads(path.read_bytes())
        config = document.get("model_cfg", document)  # published models have it beside their preprocessing
        if not {"embed_dim", "vision_cfg", "text_cfg"} <= config.keys():
            raise ValueError("embed_dim, vision_cfg or text_cfg is missing")
        if _is_path(architecture) and {"hf_model_name", "hf_tokenizer_name"} & config["text_cfg"].keys():
            raise ValueError("only CLIP's own tokenizer is supported")
    except (OSError, ValueError, AttributeError) as error:
        raise UsageError(f"model.architecture: {path} is no config of a CLIP: {error}") from None
    file = expanded(Path(weights)) if weights and _is_path(weights) else None
    if file and not file.is_file():
        raise UsageError(f"model.weights: there is no file {file}")
    names = [
        _by_content(path) if _is_path(architecture) else architecture,
        _by_content(file) if file else weights or "random",
    ]
    return Clip(
        key=" ".join(["open_clip", *names]),
        architecture=architecture,
        config=config,
        preprocessing=document.get("preprocess_cfg", {}),
        tag=None if file else weights,
        file=file,
    )


class _ImageTower(nn.Module):
    """Resizes as CLIP's own preprocessing does; mean, std: what its images were normalised by."""

    constants: torch.Tensor

    def __init__(self, clip: Any, mean: Sequence[float], std: Sequence[float]):
        super().__init__()
        self.clip = clip
        constants = torch.tensor([MEAN, STD, tuple(mean), tuple(std)])[..., None, None]
        self.register_buffer("constants", constants, persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if torch.compiler.is_exporting():  # a file's graph has no loop over parts of a batch
            return self._embedded(images)
        return torch.cat([self._embedded(part) for part in torch.split(images, AT_ONCE)])

    def _embedded(self, images: torch.Tensor) -> torch.Tensor:
        given_mean, given_std = self.constants[:2, : images.shape[1]]
        mean, std = self.constants[2:]
        pixels = images * given_std + given_mean
        images = F.interpolate(
            (pixels - mean) / std, self.clip.visual.image_size, mode="bicubic", antialias=True
        )
        return F.normalize(self.clip.encode_image(images).float(), dim=-1)


def _repository_and_names(published: dict[str, Any]) -> list[str]:
    """Where a tag's file is, and what it may be called there."""
    import open_clip

    repository, _, name = published["hf_hub"].rpartition("/")
    names = [open_clip.constants.HF_SAFE_WEIGHTS_NAME, open_clip.constants.HF_WEIGHTS_NAME]
    return [repository, *([name] if name else names)]


def _is_path(name: str) -> bool:
    return "." in name


def _config_path(architecture: str) -> Path:
    package = find_spec("open_clip")
    if package is None or package.origin is None:
        raise UsageError("model clip_fusion needs open_clip; install it with: pip install 'harness-cv[clip]'")
    if _is_path(architecture):
        return expanded(Path(architecture))
    folder = Path(package.origin).parent / "model_configs"
    known = [path.stem for path in folder.glob("*.json")]
    if architecture not in known:
        nearest = get_close_matches(architecture, known, n=6, cutoff=0.0)
        raise UsageError(
            f"model.architecture: open_clip has no '{architecture}'{did_you_mean(architecture, nearest)}"
        )
    return folder / f"{architecture}.json"


@contextmanager
def _telling(what: str) -> Iterator[None]:
    """One line for whatever a third-party library makes of a foreign file or a wrong config."""
    try:
        yield
    except Exception as error:
        raise HarnessError(f"{what}: {_line(error)}") from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


def _by_content(path: Path) -> str:
    return f"{path.stem}-{sha256(path)[:16]}"
