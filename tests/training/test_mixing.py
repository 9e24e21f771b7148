from typing import Any

import pytest
import torch
from torchvision.transforms import v2

from harness.training import Compute, FoldData
from harness.training.augment import AugmentOptions, as_labels, mixer
from tests.training.conftest import PLAIN, equal, make_model, train, weights


def make_batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(6, 3, 8, 8, generator=generator), torch.arange(6) % 4


def mixed(kind: Any, seed: int, alpha: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(seed)
    return mixer(AugmentOptions(augment="none", mix=kind, mix_alpha=alpha), 4)(*make_batch())


def test_without_mixing_a_batch_is_given_back() -> None:
    images, labels = make_batch()
    same, targets = mixer(AugmentOptions(), 4)(images, labels)
    assert same is images and targets is labels


@pytest.mark.parametrize(("kind", "theirs"), [("mixup", v2.MixUp), ("cutmix", v2.CutMix)])
def test_images_and_labels_are_mixed_alike(kind: str, theirs: Any) -> None:
    images, targets = mixed(kind, seed=3, alpha=0.7)
    torch.manual_seed(3)
    torch.randint(1, ())
    expected_images, expected_targets = theirs(alpha=0.7, num_classes=4)(*make_batch())
    assert torch.equal(images, expected_images)
    assert torch.equal(targets, expected_targets)
    assert targets.shape == (6, 4)
    torch.testing.assert_close(targets.sum(1), torch.ones(6))


def test_either_is_now_the_one_and_now_the_other() -> None:
    original, _ = make_batch()
    kept = [bool((mixed("either", seed)[0] == original).any()) for seed in range(40)]
    assert 8 < sum(kept) < 32  # CutMix keeps pixels, MixUp none


def test_the_label_of_a_mixed_image_is_that_of_the_larger_share() -> None:
    assert as_labels(torch.tensor([[0.2, 0.5, 0.3], [0.6, 0.0, 0.4]])).tolist() == [1, 0]
    assert as_labels(torch.tensor([2, 0])).tolist() == [2, 0]


@pytest.mark.parametrize("kind", ["mixup", "cutmix", "either"])
def test_mixing_changes_a_training_and_equal_seeds_give_equal_bits(
    compute: Compute, data: FoldData, kind: str
) -> None:
    def trained(mix: str) -> dict[str, torch.Tensor]:
        model = make_model(data, width=8)
        train(model, data, {**PLAIN, "mix": mix, "label_smoothing": 0.1, "epochs": 2})
        return weights(model)

    first = trained(kind)
    torch.rand(17)
    assert equal(first, trained(kind))
    assert not equal(first, trained("none"))


def test_a_batch_that_is_hardly_mixed_is_learned_like_one_that_is_not(
    compute: Compute, data: FoldData
) -> None:
    """With shares next to 0 and 1 the loss and accuracy of mixed labels are those of plain ones."""
    values = {**PLAIN, "epochs": 40, "batch_size": 128, "mix": "mixup", "mix_alpha": 1e-3}
    epochs, _ = train(make_model(data, width=8), data, values)
    assert epochs[-1].train_accuracy > 0.95
    assert epochs[-1].train_loss < 0.3
