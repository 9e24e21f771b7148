"""A user's own file of weights: safetensors or a state dict of PyTorch, of which no code is run, fitted to a network.

What training scripts wrap it in, prefixes of names, half precision and a last layer of other classes are understood.
Whatever else does not fit is refused in one line; nothing is loaded in part.
"""

import argparse
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import nn

from harness.config.settings import expanded
from harness.errors import UsageError

WRAPPERS = (  # what training scripts call the weights within their checkpoints; averaged ones first
    *("state_dict_ema", "model_ema", "ema_state_dict", "state_dict", "model_state_dict", "model", "network", "net"),
    *("module", "params_ema", "params", "weights"),
)  # fmt: skip
IN_FOLDERS = ("model.safetensors", "pytorch_model.bin", "weights.safetensors", "fold0.safetensors")
NUM_NAMED = 3  # tensors of each kind that a message names
LFS = b"version https://git-lfs"
State = Mapping[str, torch.Tensor]
Convert = Callable[[dict[str, torch.Tensor]], State]

log = logging.getLogger(__name__)


def path_in(value: bool | str | None) -> Path | None:
    """The path that a value of an option stands for, which may also be true or a name of published weights."""
    return expanded(Path(value)) if isinstance(value, str) and "." in value else None


def load_weights(network: nn.Module, file: str | Path, *, ignore: Sequence[str] = ()) -> None:
    """Give a network of one's own the weights of a file, in place.

    ignore: parts of the network, like "head", that keep the weights that they have.
    Raises UsageError for a file that is none, or does not fit.
    """
    own = network.state_dict()
    kept = {name: tensor for name, tensor in own.items() if _is_within(name, ignore)}
    expected = {name: tensor for name, tensor in own.items() if name not in kept}
    network.load_state_dict({**kept, **fitted(expanded(Path(file)), expected, ignore=ignore)})


def fitted(
    file: Path,
    expected: State,
    *,
    ignore: Sequence[str] = (),
    convert: Convert | None = None,
    others: Iterable[tuple[str, State]] = (),
) -> dict[str, torch.Tensor]:
    """What a file has for a network's state dict, in its data types.

    ignore: parts that the file may have beyond that, like its own last layer.
    convert: what else may be made of the file's tensors, once prefixes are off, if they do not fit as they are.
    others: similar networks by name, of which a message names one that the file fits; looked at only then.
    Raises UsageError for a file that is none, or does not fit.
    """
    tensors, said = read(file)
    prefix = _prefix(tensors, expected)
    found: State = _below(prefix, tensors)
    problems = list(_differences(found, expected, ignore))
    if problems and convert is not None:
        with suppress(Exception):  # made for files that it knows; of any other this says what is wrong
            converted = convert(dict(found))
            if not [*_differences(converted, expected, ignore)]:
                found, problems = converted, []
    if problems:
        hint = f" (it says that it is of {said})" if said else ""
        fits = next((name for name, one in others if _fits(tensors, one, ignore)), "")
        guess = f"; it fits {fits}" if fits else ""
        raise UsageError(f"{file} does not fit the network{hint}: {'; '.join(problems)}{guess}")
    for name in expected:
        if name in found and found[name].is_floating_point() and not found[name].isfinite().all():
            raise UsageError(f"{file} has values that are not finite, in {name}")
    if left := [name for name in tensors if name.removeprefix(prefix) not in expected]:
        log.info("of %s these are not used: %s", file, _some(left))
    return {name: found.get(name, own).to(own.dtype) for name, own in expected.items()}


def read(file: Path) -> tuple[dict[str, torch.Tensor], str]:
    """A file's tensors by name, on the CPU, and the architecture that it says they are of, or "".

    Raises UsageError for what is no such file, or has code in it.
    """
    if file.is_dir():
        inside = next((name for name in IN_FOLDERS if (file / name).is_file()), None)
        raise UsageError(
            f"{file} is a folder; name the file" + (f": {file / inside}" if inside else " in it")
        )
    if not file.is_file():
        raise UsageError(f"there is no file {file}")
    try:
        with file.open("rb") as stream:
            begin = stream.read(len(LFS))
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from None
    if not begin:
        raise UsageError(f"{file} is empty")
    if begin == LFS:
        raise UsageError(f"{file} only stands for a file of Git LFS; fetch that with: git lfs pull")
    if file.name.endswith(".index.json"):
        raise UsageError(f"{file} lists the parts of weights in several files; save them as one")
    if begin[8:9] == b"{":
        content: Any = _safetensors(file)
    elif begin[:2] == b"PK" or begin[:1] == b"\x80":
        content = _pytorch(file)
    else:
        raise UsageError(f"{file} is neither safetensors nor a state dict of PyTorch")
    said = _architecture(content)
    tensors = _unwrapped(content)
    if not tensors:
        raise UsageError(f"{file} is not a state dict: {_outline(content)}")
    return tensors, said


def _safetensors(file: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(file)
    except (SafetensorError, OSError, KeyError, ValueError, OverflowError) as error:
        raise UsageError(f"{file} is damaged or cut off: {_line(error)}") from None


def _pytorch(file: Path) -> Any:
    from pickle import UnpicklingError

    try:
        # Checkpoints of timm and others hold their command's arguments, a class that only stores what it is given.
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(file, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        found = re.search(r"GLOBAL ([\w.]+)|class ([\w.]+)", str(error))
        what = f" ({found[1] or found[2]})" if found else ""
        raise UsageError(
            f"{file} has Python's objects in it{what}, which could run code and are not loaded; where you trust it, "
            "load it in Python and save its state_dict(), best as safetensors"
        ) from None
    except Exception as error:
        if "TorchScript" in str(error):
            raise UsageError(
                f"{file} is a TorchScript archive, a program; save the state_dict() of its network"
            ) from None
        raise UsageError(f"{file} is damaged or cut off: {_line(error)}") from None


def _unwrapped(content: Any) -> dict[str, torch.Tensor]:
    """The tensors by name; of a checkpoint with averaged weights these."""
    while isinstance(content, Mapping):
        inner = [
            content[name] for name in WRAPPERS if isinstance(content.get(name), Mapping) and content[name]
        ]
        if not inner:
            return {
                name: value
                for name, value in content.items()
                if isinstance(name, str) and isinstance(value, torch.Tensor)
            }
        content = inner[0]
    return {}


def _architecture(content: Any) -> str:
    """What checkpoints of timm's and torchvision's scripts call it."""
    if not isinstance(content, Mapping):
        return ""
    names = [content.get("arch"), getattr(content.get("args"), "model", None)]
    return next((name for name in names if isinstance(name, str)), "")


def _outline(content: Any) -> str:
    if isinstance(content, Mapping):
        return (
            f"it has {_some([str(name) for name in content])} and no tensors"
            if content
            else "it has nothing in it"
        )
    return f"it holds a {type(content).__name__}"


def _prefix(tensors: State, expected: State) -> str:
    """What stands before most of the expected names in a file, like `module.`; the shortest of several."""
    counted: Counter[str] = Counter()
    for name in tensors:
        places = [0, *(place.end() for place in re.finditer(r"\.", name))]
        counted.update(name[:place] for place in places if name[place:] in expected)
    return min(counted, key=lambda prefix: (-counted[prefix], len(prefix)), default="")


def _below(prefix: str, tensors: State) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _fits(tensors: State, expected: State, ignore: Sequence[str]) -> bool:
    return not any(_differences(_below(_prefix(tensors, expected), tensors), expected, ignore))


def _differences(found: State, expected: State, ignore: Sequence[str]) -> Iterator[str]:
    """Why the tensors are not the expected ones: a phrase each for names and shapes."""
    missing = [name for name in expected if name not in found and not name.endswith("num_batches_tracked")]
    unexpected = [name for name in found if name not in expected and not _is_within(name, ignore)]
    if len(missing) == len([name for name in expected if not name.endswith("num_batches_tracked")]):
        yield f"none of its names is one of the network's; it has {_some(found)}, the network {_some(expected)}"
        return
    if missing:
        yield f"{len(missing)} of the network's {len(expected)} tensors are missing ({_some(missing)})"
    if unexpected:
        yield f"{len(unexpected)} are none of the network's ({_some(unexpected)})"
    wrong = [name for name in expected if name in found and found[name].shape != expected[name].shape]
    if wrong:
        shapes = [f"{name} {_shape(found[name])} for {_shape(expected[name])}" for name in wrong]
        yield f"{len(wrong)} have another shape ({_some(shapes)}){_of_channels(wrong, found, expected)}"
    odd = [
        name
        for name, own in expected.items()
        if name in found and own.is_floating_point() and not found[name].is_floating_point()
    ]
    if odd:
        yield f"{len(odd)} are no floating-point numbers ({_some(odd)})"


def _of_channels(wrong: Sequence[str], found: State, expected: State) -> str:
    """Said where nothing but the number of channels of the images differs."""
    (first, *rest) = wrong
    theirs, ours = found[first].shape, expected[first].shape
    if rest or len(ours) != 4 or len(theirs) != 4 or theirs[0] != ours[0] or theirs[2:] != ours[2:]:
        return ""
    return f": it is for images of {theirs[1]} channels, and must be for {ours[1]}"


def _is_within(name: str, parts: Sequence[str]) -> bool:
    return any(name.startswith(f"{part}.") for part in parts)


def _some(names: Any) -> str:
    """The first few."""
    names = list(names)
    more = len(names) - NUM_NAMED
    return ", ".join(names[:NUM_NAMED]) + (f" and {more} more" if more > 0 else "")


def _shape(tensor: torch.Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "a number"


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
