"""CLIP fusion with a tiny CLIP of random weights: what it computes, what it may see, and what it refuses."""

import hashlib
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load, save, save_file
from torch.nn import functional as F

from harness import models
from harness.errors import HarnessError, UsageError
from harness.models import clip_encoders
from harness.models.clip_encoders import MEAN, STD, Clip
from harness.models.clip_fusion import ClipFusion

TINY = str(Path(__file__).with_name("tiny_clip.json"))  # 1 layer of width 32 for images and for texts
CLASSES = ("cat", "dog", "sea_lion")


def at_once(key: str, make: Callable[[], torch.Tensor]) -> torch.Tensor:
    return make()


def built(channels: int = 3, classes: tuple[str, ...] = CLASSES, **options: Any) -> ClipFusion:
    torch.manual_seed(0)
    model = models.build("clip_fusion", channels, 32, classes, {"architecture": TINY, **options})
    assert isinstance(model, ClipFusion)
    return model


def prepared(**options: Any) -> ClipFusion:
    model = built(**options)
    model.prepare(at_once)
    return model


@pytest.fixture
def open_clip() -> Any:
    """Imported by the tests that need it: it takes seconds."""
    import open_clip

    return open_clip


def random_clip(seed: int, **config: Any) -> Any:
    import open_clip

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return open_clip.CLIP(**clip_encoders.find(TINY, None).config, **config).eval()


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("size", [32, 20, 48])
def test_image_embeddings_are_those_of_open_clip_after_its_own_preprocessing(
    open_clip: Any, mode: str, size: int
) -> None:
    channels = {"RGB": 3, "L": 1}[mode]
    pixels = np.random.default_rng(0).integers(0, 256, (size, size, channels), dtype=np.uint8)
    scaled = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255
    model = built(channels)
    mean, std = (torch.tensor(values)[:, None, None] for values in model.normalisation or ())
    ours = model.encoder((scaled - mean) / std)

    image = Image.fromarray(pixels.squeeze())
    transform = open_clip.image_transform(32, is_train=False, mean=MEAN, std=STD)
    with torch.no_grad():
        theirs = random_clip(0).encode_image(transform(image)[None], normalize=True)
    # Pillow rounds resized images to whole pixel values.
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5 if size == 32 else 2e-3)


def test_text_embeddings_are_those_of_open_clip(open_clip: Any) -> None:
    prompts = ["a drawing of a cat.", "a drawing of a dog.", "a drawing of a sea lion."]
    with torch.no_grad():
        theirs = random_clip(0).encode_text(open_clip.tokenize(prompts, context_length=16), normalize=True)
    torch.testing.assert_close(prepared(prompt="a drawing of a {}.").texts, theirs)


def test_all_embeddings_have_length_one() -> None:
    model = prepared()
    images = model.encoder(torch.randn(5, 3, 8, 8))
    torch.testing.assert_close(images.norm(dim=1), torch.ones(5))
    torch.testing.assert_close(model.texts.norm(dim=1), torch.ones(3))


def test_zero_shot_trains_the_temperature_only_and_its_answers_stay_clips_own() -> None:
    model = prepared()
    assert [name for name, _ in model.named_parameters()] == ["head.log_scale"]
    images = torch.randn(50, 3, 8, 8)
    answers = (model.encoder(images) @ model.texts.T).argmax(1)
    confidence = model(images).softmax(1).amax(1)
    with torch.no_grad():
        model.get_parameter("head.log_scale").sub_(3.0)
    assert torch.equal(model(images).argmax(1), answers)
    assert (model(images).softmax(1).amax(1) < confidence).all()


@pytest.mark.parametrize("head", ["zero_shot", "fusion"])
def test_with_class_prompts_the_inputs_do_not_depend_on_the_labels(head: str) -> None:
    model, embeddings = prepared(head=head), F.normalize(torch.randn(40, 32))
    inputs = model.inputs(embeddings, None)
    with torch.autocast("cpu", torch.bfloat16):  # nor on the precision of the training
        assert torch.equal(model.inputs(embeddings, None), inputs)
    for _ in range(20):
        assert torch.equal(model.inputs(embeddings, torch.randint(3, (40,))), inputs)
    torch.testing.assert_close(inputs, torch.cat([embeddings, embeddings @ model.texts.T], dim=1))


def test_with_label_prompt_the_inputs_hold_the_text_of_each_images_own_label() -> None:
    model, embeddings = prepared(text="label_prompt", head="fusion"), F.normalize(torch.randn(3, 32))
    labels = torch.tensor([2, 0, 2])
    inputs = model.inputs(embeddings, labels)
    assert torch.equal(inputs, torch.cat([embeddings, model.texts[[2, 0, 2]]], dim=1))
    assert not torch.equal(model.inputs(embeddings, torch.tensor([1, 0, 2])), inputs)


@pytest.mark.parametrize(("text", "low", "high"), [("class_prompts", 0.2, 0.47), ("label_prompt", 1.0, 1.0)])
def test_labels_that_nothing_predicts_are_predicted_only_where_they_leak(
    text: str, low: float, high: float
) -> None:
    model = prepared(text=text, head="fusion", width=32)
    labels = torch.randint(3, (600,))
    inputs = model.inputs(F.normalize(torch.randn(600, 32)), labels)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        F.cross_entropy(model(inputs[:300]), labels[:300]).backward()
        optimizer.step()
    accuracy = (model.eval()(inputs[300:]).argmax(1) == labels[300:]).double().mean().item()
    assert low <= accuracy <= high


def test_a_saved_model_predicts_without_the_text_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    model, other = prepared(head="fusion").eval(), built(head="fusion").eval()
    images = torch.randn(4, 3, 8, 8)
    monkeypatch.delattr(Clip, "embed_texts")
    assert not torch.equal(model(images), other(images))
    other.load_state_dict(load(save(model.state_dict())))
    assert torch.equal(model(images), other(images))


def test_texts_are_kept_under_a_key_that_names_the_clip_and_the_prompts() -> None:
    kept: dict[str, torch.Tensor] = {}

    def keep(key: str, make: Callable[[], torch.Tensor]) -> torch.Tensor:
        return kept.setdefault(key, make())

    for options in ({}, {"prompt": "{}"}, {"classes": ("a", "b")}, {"head": "fusion", "dropout": 0.5}):
        built(**options).prepare(keep)
    assert len(kept) == 3
    assert all(built().encoder.key in key for key in kept)


def test_the_encoders_key_differs_for_other_architectures_and_weights_but_not_for_other_prompts(
    tmp_path: Path,
) -> None:
    other = tmp_path / "tiny_clip.json"
    other.write_text(Path(TINY).read_text().replace('"layers": 1', '"layers": 2'))
    save_file(random_clip(1).state_dict(), tmp_path / "weights.safetensors")
    models_of_other_clips = [
        built(),
        built(architecture=str(other)),
        built(weights=str(tmp_path / "weights.safetensors")),
        built(architecture="ViT-B-32"),
        built(architecture="ViT-B-32", weights="openai"),
        built(architecture="ViT-B-16", weights="openai"),
    ]
    assert len({model.encoder.key for model in models_of_other_clips}) == len(models_of_other_clips)
    assert built(prompt="{}", head="fusion").encoder.key == built().encoder.key


def test_a_changed_checkpoint_file_has_another_key(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(b"some")
    first = clip_encoders.find(TINY, str(path)).key
    path.write_bytes(b"others")
    assert clip_encoders.find(TINY, str(path)).key != first


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pt"])
def test_weights_come_from_a_checkpoint_file(open_clip: Any, name: str, tmp_path: Path) -> None:
    clip = random_clip(1)
    path = tmp_path / name
    if path.suffix == ".pt":
        torch.save(clip.state_dict(), path)
    else:
        save_file(clip.state_dict(), path)
    model, images = prepared(weights=str(path)), torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(model.encoder(images), clip.encode_image(images, normalize=True))
        tokens = open_clip.tokenize(["a photo of a cat."], context_length=16)
        torch.testing.assert_close(model.texts[:1], clip.encode_text(tokens, normalize=True))


@pytest.fixture
def hub(open_clip: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of huggingface_hub's, without network, and tags of the tiny CLIP that it is to hold."""
    tag = {"hf_hub": "somebody/clip/", "mean": (0.5,) * 3, "std": (0.25,) * 3, "quick_gelu": True}
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(open_clip, "get_pretrained_cfg", lambda architecture, name: tag)
    return tmp_path


def put_into(hub: Path, content: bytes, sha256: str, name: str = "open_clip_model.safetensors") -> None:
    """As huggingface_hub stores a file: under its hash, linked from the snapshot of a revision."""
    folder = hub / "models--somebody--clip"
    for part in ("blobs", "refs", "snapshots/revision"):
        (folder / part).mkdir(parents=True)
    (folder / "blobs" / sha256).write_bytes(content)
    (folder / "refs" / "main").write_text("revision")
    (folder / "snapshots/revision" / name).symlink_to(f"../../blobs/{sha256}")


@pytest.mark.parametrize("name", ["open_clip_model.safetensors", "open_clip_pytorch_model.bin"])
def test_published_weights_come_from_the_cache_with_their_own_activation_and_normalisation(
    hub: Path, name: str
) -> None:
    clip, buffer = random_clip(1, quick_gelu=True), BytesIO()
    torch.save(clip.state_dict(), buffer)
    content = buffer.getvalue() if name.endswith(".bin") else save(clip.state_dict())
    put_into(hub, content, hashlib.sha256(content).hexdigest(), name)
    model, pixels = built(weights=name.partition(".")[2]), torch.rand(2, 3, 32, 32)
    given = [torch.tensor(values)[:, None, None] for values in (MEAN, STD)]
    with torch.no_grad():
        theirs = clip.encode_image((pixels - 0.5) / 0.25, normalize=True)
    torch.testing.assert_close(model.encoder((pixels - given[0]) / given[1]), theirs)


def test_damaged_weights_in_the_cache_are_noticed(hub: Path) -> None:
    content = save(random_clip(1).state_dict())
    put_into(hub, content[:-1] + b"?", hashlib.sha256(content).hexdigest())
    with pytest.raises(HarnessError, match=r"is damaged: its SHA-256 is not its name; delete it"):
        prepared(weights="damaged")


def test_without_network_it_is_said_what_to_fetch_and_where_to_put_it(hub: Path) -> None:
    with pytest.raises(HarnessError) as told:
        prepared(weights="absent")
    assert f"no open_clip_model.safetensors of somebody/clip in {hub}" in str(told.value)
    assert "run `hf download somebody/clip open_clip_model.safetensors`" in str(told.value)


def test_an_unknown_tag_is_answered_with_the_tags_of_the_architecture() -> None:
    model = built(architecture="ViT-B-32", weights="opnai")
    with pytest.raises(
        UsageError,
        match=r"ViT-B-32 has no 'opnai'; did you mean 'openai'\? \(commonpool_m_basic_s128m_b4k, .*, …\)",
    ):
        model.prepare(at_once)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompt": "a photo"}, r"model\.prompt must hold \{\}"),
        ({"text": "label_prompt"}, r"set model\.head=fusion"),
        ({"architecture": "ViT-B-23"}, r"did you mean 'ViT-B-32'"),
        ({"architecture": "absent.json"}, r"absent\.json is no config of a CLIP"),
        ({"architecture": __file__}, r"is no config of a CLIP"),
        ({"weights": "absent.pt"}, r"there is no file absent\.pt"),
        ({"channels": 4}, r"1 or 3 channels \(got 4\)"),
    ],
    ids=str,
)
def test_what_cannot_be_built_is_told_in_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        built(**options)


def test_a_file_of_other_weights_is_told_in_one_line(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(HarnessError, match=r"other\.safetensors cannot be made: .*[Mm]issing key") as told:
        prepared(weights=str(tmp_path / "other.safetensors"))
    assert "\n" not in str(told.value)


def test_without_open_clip_it_is_said_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(UsageError, match=r"pip install 'harness-cv\[clip\]'"):
        built()


def test_the_leaking_model_refuses_to_predict() -> None:
    model = prepared(text="label_prompt", head="fusion")
    with pytest.raises(HarnessError, match="needs an image's label to predict its label"):
        model(torch.randn(2, 3, 8, 8))


def test_building_a_model_does_not_import_open_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "open_clip", raising=False)
    assert built(architecture="ViT-H-14", weights="laion2b_s32b_b79k").texts.shape == (3, 1024)
    assert "open_clip" not in sys.modules
