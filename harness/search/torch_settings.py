"""What holds in torch for a whole process, and is no model's to change: looked at, and put back."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def settings() -> dict[str, Any]:
    """Those that a model's file might change, by the name of the function that tells them."""
    import torch

    return {
        "torch.get_default_dtype": torch.get_default_dtype(),
        "torch.get_num_threads": torch.get_num_threads(),
        "torch.are_deterministic_algorithms_enabled": torch.are_deterministic_algorithms_enabled(),
    }


@contextmanager
def put_back() -> Iterator[None]:
    """Afterwards they are as they were."""
    import torch

    outside = settings()
    try:
        yield
    finally:
        torch.set_default_dtype(outside["torch.get_default_dtype"])
        torch.set_num_threads(outside["torch.get_num_threads"])
        deterministic = outside["torch.are_deterministic_algorithms_enabled"]
        if torch.are_deterministic_algorithms_enabled() != deterministic:
            torch.use_deterministic_algorithms(
                deterministic
            )  # only then: it imports torch.compile's 900 modules
