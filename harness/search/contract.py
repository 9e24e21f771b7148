"""What must hold of a network before its first trial: it takes the images, gives logits, learns, and can be kept.

A network that does not would cost a night of trials, and what is only slightly wrong is trained without a word: a loss
over more outputs than classes is a loss, a layer in a plain list never learns, and a score that depends on the batch is
a score.
"""

import ast
import inspect
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness import models
from harness.config import catalog, own_code, plugins, search_space
from harness.config.kinds import NO_NETWORK
from harness.config.own_code import HARNESS
from harness.config.sections import COSTS
from harness.config.settings import Choice, Conditional, ends
from harness.config.study_file import Study
from harness.data.images import Images
from harness.errors import HarnessError, Problem, StudyError, UsageError
from harness.records import Values
from harness.scoring.find_metric import find_metric
from harness.scoring.metrics import METRICS
from harness.search.constraints import outline
from harness.search.torch_settings import put_back, settings

TRAINED_ON = (2, 3)  # images of a step, in turns: what holds for one number only is found
MOST_STEPS = 32  # until every parameter has had a gradient: layers may be left out at random
TOLERANCE = 1e-3  # of the largest logit, by which rounding may change those of an image among others
LIBRARIES = ("timm", "torchvision", "open_clip", "transformers")  # whose networks are used as they come
NUM_SCORED = 256  # images, on which a metric is tried
NUM_NAMED = 3  # parameters that a message names
LONGEST = 400  # characters of somebody else's message


@dataclass(frozen=True)
class _Subject:
    """What is looked at.

    make: builds the network.   shape: (C, H, W) of an image.   channels_last, threads: as it is to be trained.
    file, line: where its `build` is.
    """

    make: Callable[[], Any]
    shape: tuple[int, int, int]
    num_classes: int
    channels_last: bool
    threads: int
    is_trained: bool
    file: str
    line: int


class _Broken(Exception):
    """What does not hold, in words."""


def require_network(study: Study, images: Images, *, trains_here: bool = True) -> list[str]:
    """Try the network of trial 0, the defaults, on images of noise like the study's; what is worth a warning.

    So of each of several models. Of one with a frozen encoder it is the head that is tried, on embeddings of noise.
    Files of weights must fit. Published ones are not looked at, but must be here or to be fetched, where the study is
    trained here. Other values of the space that cannot be are only warned of. torch's random state stays as it was.
    Raises StudyError with all problems; of a model's own code they name file and line.
    """
    problems, warnings = list[Problem](), list[str]()
    for name in study.models:
        if name != NO_NETWORK:
            params = search_space.defaults(study, {"model.name": name})
            found = _problems_of(study, images, params, warnings, trains_here=trains_here)
            problems += found
            if not found:
                warnings += _others_that_cannot_be(study, images, params, trains_here=trains_here)
    if problems:
        raise StudyError(study.source, problems)
    return warnings


def _problems_of(
    study: Study, images: Images, params: Values, warnings: list[str], *, trains_here: bool
) -> list[Problem]:
    """What keeps the network of these values from being trained; what is only suspicious is added to `warnings`."""
    options = models.section(search_space.resolve(study, params), "model")
    name = str(options.pop("name"))
    _, channels, height, width = images.pixels.shape
    plugin = plugins.find("model", name)
    file, function = catalog.PACKAGE / "models" / f"{name}.py", "build"
    if plugin is not None:
        file, function = plugin.file, plugin.attribute
        try:
            plugins.load(plugin)
        except UsageError as error:
            return [Problem("model.name", str(error))]

    def make(chosen: Values = options) -> Any:
        return models.build(name, channels, height, images.classes, chosen)

    subject = _Subject(
        make,
        (channels, height, width),
        len(images.classes),
        bool(study.compute["channels_last"]),
        int(str(study.compute["threads"])),
        HARNESS in own_code.loops(study.train),
        str(file),
        _line_of(function, file),
    )
    try:
        warnings += _tried(subject)
    except _Broken as problem:
        return [Problem("model.name", f"{name}: {problem}")]
    except HarnessError as error:
        return [Problem("model.name", f"{name} cannot be made with its first values: {error}")]
    problems = list(_unfit_files(study, name, options, make))
    if trains_here:
        try:
            _require_published(outline({"name": name, **options}, (channels, height, width), images.classes))
        except HarnessError as error:
            problems.append(Problem("model.name", f"{name}: {error}"))
        except Exception as error:  # of a model's own file, which was tried above
            del error
    return problems


def _require_published(network: Any) -> None:
    """Raises HarnessError where the published weights of a network are neither here nor to be fetched."""
    getattr(network, "require_published", lambda: None)()


def _unfit_files(
    study: Study, name: str, options: Values, make: Callable[[Values], Any]
) -> Iterator[Problem]:
    """The files of weights that the model's options name and that do not fit with what trial 0 has else."""
    import torch

    for option in catalog.options("model", name):
        setting = study.models[name].get(option.name) if option.names_file else None
        chosen = dict(options)
        if isinstance(setting, Conditional):  # as in a trial that is asked for it
            when = {path.partition(".")[2]: values[0] for path, values in setting.when.items()}
            chosen |= {key: value for key, value in when.items() if key in options}
            setting = setting.setting
        texts = setting.values if isinstance(setting, Choice) else (setting,)
        for text in texts:
            if isinstance(text, str) and "." in text:
                try:
                    with torch.random.fork_rng(devices=[]):
                        network = make({**chosen, option.name: text})
                        getattr(network, "require_file", lambda: None)()
                except HarnessError as error:
                    yield Problem(f"model.{option.name}", str(error))


def _others_that_cannot_be(
    study: Study, images: Images, params: Values, *, trains_here: bool
) -> Iterator[str]:
    """Each end of a range, and each choice, with which the network cannot be made where all else is `params`."""
    options = models.section(search_space.resolve(study, params), "model")
    files = [option.name for option in catalog.options("model", str(options["name"])) if option.names_file]
    shape = images.pixels.shape[1:]
    for option, setting in study.models[str(options["name"])].items():
        for value in ends(setting) if option in options else ():
            is_file = option in files and isinstance(value, str) and "." in value
            if value != options[option] and not is_file:
                try:
                    network = outline(options | {option: value}, shape, images.classes)
                    if trains_here:
                        _require_published(network)
                except Exception as error:  # whatever a model's file may raise
                    said = " ".join(f"{error}".split())[:LONGEST] or type(error).__name__
                    yield (
                        f"model.{option} = {value} may fail its trials, for {options['name']} cannot be made with it "
                        f"and the other values of trial 0: {said}"
                    )


def require_metric(study: Study, images: Images) -> None:
    """Try objectives that are the user's own on random predictions. Raises StudyError that says what is wrong."""
    problems = []
    for number, name in enumerate((study.objective, *study.others)):
        if name not in METRICS and (number == 0 or name not in COSTS):
            try:
                _try_metric(name, images)
            except HarnessError as error:
                path = f"objective[{number}]" if study.others else "objective"
                problems.append(Problem(path, str(error)))
    if problems:
        raise StudyError(study.source, problems)


def _try_metric(name: str, images: Images) -> None:
    random = np.random.default_rng(0)
    labels = images.labels[random.permutation(len(images))[:NUM_SCORED]]
    probabilities = random.dirichlet(np.ones(len(images.classes)), len(labels)).astype(np.float32)
    metric = find_metric(name)
    if metric(labels, probabilities) != metric(labels, probabilities):
        raise UsageError("gives another score the second time for the same predictions")


def check_network(
    build: Callable[..., Any],
    in_channels: int = 3,
    image_size: int = 32,
    num_classes: int = 10,
    **options: Any,
) -> None:
    """Try a model as `harness tune` does before its first trial, for a test of one's own models.

    options: of the model; those that are not named have their defaults.
    build: a function or class that takes those that it needs of in_channels, image_size, num_classes and classes.
    Raises UsageError that names file, line and problem; warns with UserWarning of what is only suspicious.
    """
    import warnings

    names = [f"class {number}" for number in range(num_classes)]
    given = {
        "in_channels": in_channels, "image_size": image_size, "num_classes": num_classes, "classes": names,
    }  # fmt: skip
    file = Path(inspect.getfile(inspect.unwrap(build)))
    subject = _Subject(
        lambda: plugins.call(build, given, options),
        (in_channels, image_size, image_size),
        num_classes,
        channels_last=True,
        threads=1,
        is_trained=True,
        file=str(file),
        line=_line_of(build.__name__, file),
    )
    try:
        found = _tried(subject)
    except _Broken as problem:
        raise UsageError(str(problem)) from None
    for warning in found:
        warnings.warn(warning, stacklevel=2)


def _tried(subject: _Subject) -> list[str]:
    """What is worth a warning. Raises _Broken with the place, and what the model's own HarnessErrors are."""
    import torch

    try:
        with put_back(), torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.set_num_threads(subject.threads)
            before = settings()
            network, other = _built(subject, before)
            warnings = _train(network, subject) if subject.is_trained else []
            warnings += _evaluate(network, other, subject)
            _require_same_settings(before)
            return warnings
    except HarnessError:
        raise
    except _Broken as problem:
        raise _Broken(f"{subject.file}:{subject.line}: {problem}") from None
    except (Exception, SystemExit) as error:  # whatever a model's file may raise
        text = " ".join(str(error).split())
        if isinstance(error, MemoryError) or "can't allocate memory" in text:
            text = f"three images need more memory than this machine has ({text[:LONGEST]}); make it smaller"
        else:
            text = f"{type(error).__name__}: {text[:LONGEST]}"
        raise _Broken(f"{_place(error, subject)}: {text}") from None


def _built(subject: _Subject, before: dict[str, Any]) -> tuple[Any, Any]:
    """The network, on which two builds after one seed agree, and one after another seed."""
    import torch

    network, state = _made(subject, seed=0)
    if not isinstance(network, torch.nn.Module):
        raise _Broken(f"build gives a {type(network).__name__}, not a torch.nn.Module")
    _require_same_settings(before)
    again, _ = _made(subject, seed=0)
    kept, weights = network.state_dict(), again.state_dict()
    for name, value in kept.items():
        if not isinstance(value, torch.Tensor):
            raise _Broken(
                f"{name} of its state dict is a {type(value).__name__}, not a tensor, and cannot be kept"
            )
        if name not in weights or not _equal(value, weights[name]):
            raise _Broken(
                f"{name} differs between two builds after the same seed; draw weights from torch's generator, as "
                "torch.nn.init does, not from numpy's, random's or memory as it was"
            )
    del again, weights
    other, other_state = _made(subject, seed=1)
    if torch.equal(state, other_state):
        raise _Broken(
            "build seeds torch's random generator, so that all folds would begin with the same weights; leave "
            "torch.manual_seed to harness"
        )
    return network, other


def _train(network: Any, subject: _Subject) -> list[str]:
    """A few steps without an optimiser: shapes, numbers, and a gradient for every trainable parameter.

    A parameter that a library's network does not use, of a head that was taken off, say, is worth a warning only.
    """
    import torch
    from torch.nn import functional

    trainable = {name: value for name, value in network.named_parameters() if value.requires_grad}
    network.train()
    states = []
    for step in range(MOST_STEPS):
        count = TRAINED_ON[step % len(TRAINED_ON)]
        inputs, labels = _inputs(network, subject, count)
        given = inputs.clone()
        torch.default_generator.manual_seed(step)  # torch.manual_seed would seed GPUs as well
        logits = _logits(network, subject, inputs)
        states.append(torch.get_rng_state())
        if not torch.equal(inputs, given):
            raise _Broken("it changes the images that it is given, in place; work on a copy")
        if logits.requires_grad:
            functional.cross_entropy(logits, labels).backward()  # type: ignore[no-untyped-call]
        without = [name for name, value in trainable.items() if value.grad is None]
        if (step > 0 and not without) or len(without) == len(trainable):
            break
    if len(states) > 1 and torch.equal(states[0], states[1]):
        raise _Broken("its forward seeds torch's random generator, so that nothing is random any more")
    gradients = {name: value.grad for name, value in trainable.items() if value.grad is not None}
    if not any(gradient.any() for gradient in gradients.values()):
        raise _Broken("no gradient reaches any of its parameters, so nothing can be trained")
    warnings = []
    if without:
        more = f" and {len(without) - NUM_NAMED} more" if len(without) > NUM_NAMED else ""
        what, them = ("parameter", "it") if len(without) == 1 else ("parameters", "them")
        problem = f"{what} {', '.join(without[:NUM_NAMED])}{more} got no gradient"
        if not all(_is_of_library(network, name) for name in without):
            raise _Broken(f"{problem}: freeze {them} with requires_grad_(False) or use {them} in forward")
        warnings.append(f"{problem}, and will stay as the library made {them}")
    if endless := [name for name, gradient in gradients.items() if not gradient.isfinite().all()]:
        raise _Broken(f"the gradient of {endless[0]} is not finite")
    return warnings


def _evaluate(network: Any, other: Any, subject: _Subject) -> list[str]:
    """Equal bits for equal images, also of the other network with these weights, whatever the rest of the batch is."""
    import torch

    images, _ = _inputs(network, subject, 2)
    network.eval()
    with torch.inference_mode():
        logits = _logits(network, subject, images)
        if not torch.equal(logits, _logits(network, subject, images)):
            raise _Broken(
                "its output differs between two evaluations of the same images: nothing may be random, or count calls, "
                "where self.training is False"
            )
        alone = _logits(network, subject, images[:1])
        if (alone - logits[:1]).abs().max() > TOLERANCE * logits.abs().max() + 1e-6:
            raise _Broken(
                "the output for an image depends on the other images of the batch, in evaluation too; use running "
                "statistics, as nn.BatchNorm2d has, or norms of single images"
            )
        kept = {name: torch.from_numpy(value.cpu().numpy()) for name, value in network.state_dict().items()}
        try:
            other.load_state_dict(kept)
        except Exception as error:
            why = " ".join(str(error).split())[:LONGEST]
            raise _Broken(
                f"its state dict cannot be loaded into a second network, as every prediction does: {why}"
            ) from None
        if not torch.equal(logits, _logits(other.eval(), subject, images)):
            raise _Broken(
                "its output differs in a second network with its state dict: weights lie outside of its parameters and "
                "buffers; use nn.ModuleList for a list of layers, nn.Parameter or register_buffer for a tensor"
            )
    if logits.min() >= 0 and (logits.sum(1) - 1).abs().max() < TOLERANCE and subject.num_classes > 1:
        return [
            f"{subject.file}:{subject.line}: its outputs are probabilities, which the loss takes for logits and puts "
            "through another softmax; leave the softmax out"
        ]
    return []


def _is_of_library(network: Any, parameter: str) -> bool:
    """Whether a parameter of that name is below a module whose class is a library's."""
    parts = parameter.split(".")[:-1]
    above = [network.get_submodule(".".join(parts[:depth])) for depth in range(len(parts) + 1)]
    return any(type(module).__module__.partition(".")[0] in LIBRARIES for module in above)


def _made(subject: _Subject, *, seed: int) -> tuple[Any, Any]:
    """The network in the layout of its training, and torch's random state after that."""
    import torch

    torch.default_generator.manual_seed(seed)
    network = subject.make()
    state = torch.get_rng_state()
    layout = torch.channels_last if subject.channels_last else torch.contiguous_format
    return (network.to(memory_format=layout) if isinstance(network, torch.nn.Module) else network), state


def _inputs(network: Any, subject: _Subject, count: int) -> tuple[Any, Any]:
    """What the network is given for so many images of noise, as its training normalises them, and their labels."""
    import torch

    generator = torch.Generator().manual_seed(count)
    labels = torch.arange(count) % subject.num_classes
    if hasattr(network, "encoder"):  # its head is all that is trained
        return network.inputs(torch.randn(count, network.encoder.size, generator=generator), labels), labels
    mean, std = getattr(network, "normalisation", None) or ((0.5,), (0.25,))
    channels, height, width = subject.shape
    images = torch.rand(count, height, width, channels, generator=generator).permute(0, 3, 1, 2)
    for channel in range(channels):
        images[:, channel] -= mean[min(channel, len(mean) - 1)]
        images[:, channel] /= std[min(channel, len(std) - 1)]
    layout = torch.channels_last if subject.channels_last else torch.contiguous_format
    return images.contiguous(memory_format=layout), labels


def _logits(network: Any, subject: _Subject, inputs: Any) -> Any:
    """(N, classes) for N inputs. Raises _Broken for anything else."""
    import torch

    logits = network(inputs)
    images = f"{len(inputs)} image" + "s" * (len(inputs) > 1)
    if not isinstance(logits, torch.Tensor):
        raise _Broken(f"it gives a {type(logits).__name__} for images, not a tensor of logits")
    wanted, got = (len(inputs), subject.num_classes), tuple(logits.shape)
    if got != wanted:
        raise _Broken(
            f"for {images} of {subject.num_classes} classes its output has the shape {got}, not {wanted}"
        )
    if not logits.is_floating_point():
        raise _Broken(f"its logits are {logits.dtype}, not floating-point numbers")
    if not logits.isfinite().all():
        raise _Broken(f"its logits for {images} of noise are not finite")
    return logits


def _require_same_settings(before: dict[str, Any]) -> None:
    now = settings()
    for name, value in before.items():
        if now[name] != value:
            raise _Broken(f"it changes {name}() for the whole process, from {value} to {now[name]}")


def _equal(first: Any, second: Any) -> bool:
    """Whether two tensors have the same shape and values; not-a-number is itself."""
    return first.shape == second.shape and bool(((first == second) | (first != first)).all())


def _line_of(name: str, file: Path) -> int:
    """Where a file defines a function or class; 1 where it does not say."""
    with suppress(OSError, ValueError, SyntaxError):
        for node in ast.parse(file.read_bytes()).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
                return node.lineno
    return 1


def _place(error: BaseException, subject: _Subject) -> str:
    """The last line of the model's own file that the error came from, else that of its `build`, as FILE:LINE."""
    if isinstance(error, SyntaxError) and error.filename == subject.file:
        return f"{subject.file}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == subject.file]
    return f"{subject.file}:{lines[-1] if lines else subject.line}"
