"""What must hold of the user's own parts of a training before its first trial: they are tried on noise."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness import models, training
from harness.config import catalog, own_code, plugins, search_space
from harness.config.catalog import Entry
from harness.config.kinds import KINDS
from harness.config.plugins import Plugin
from harness.config.settings import ends
from harness.config.study_file import Study
from harness.data.images import Images
from harness.errors import HarnessError, Problem, StudyError, UsageError
from harness.search.loop_contract import try_loop

MOST_STEPS = 5000  # of a schedule that are looked at
LONGEST = 400  # characters of somebody else's message
Try = Callable[[Study, "training.Settings", Images], None]


def require_own_code(study: Study, images: Images) -> list[str]:
    """Try each part of the user's own that a study's `train` names, with its defaults; what is worth a warning.

    torch's random state stays as it was. Raises StudyError with the problems of all, which name file and line.
    """
    warnings, problems = list[str](), list[Problem]()
    for choice, entry in own_code.named_in(study.train):
        kind = f"train.{choice}"
        plugin = plugins.find(kind, entry.name)
        assert plugin is not None
        params = search_space.defaults(study, {kind: entry.name})
        try:
            plugins.load(plugin)
            settings = training.options_from(models.section(search_space.resolve(study, params), "train"))
            _tried(TRIES[choice], study, settings, images, plugin)
        except HarnessError as error:
            problems.append(Problem(kind, str(error)))
        else:
            warnings += _other_defaults(study, kind, entry, plugin)
    if problems:
        raise StudyError(study.source, problems)
    return warnings


def _tried(try_it: Try, study: Study, settings: "training.Settings", images: Images, plugin: Plugin) -> None:
    import torch  # takes seconds

    try:
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.default_generator.manual_seed(0)  # torch.manual_seed would seed GPUs as well
            try_it(study, settings, images)
    except UsageError as error:
        raise UsageError(f"{_called(plugin)} {error}") from None
    except HarnessError:
        raise
    except (Exception, SystemExit) as error:  # whatever somebody's code may raise
        word = f"{KINDS[plugin.kind].word} {plugin.name}"
        raise UsageError(f"{word}: {plugins.where(error, plugin.root)[:LONGEST]}") from None


def _try_loss(study: Study, settings: "training.Settings", images: Images) -> None:
    """Finite, with a gradient for every image's logits, of labels and of soft ones, as `mix` makes them too."""
    import torch
    from torch import nn

    from harness.training import own

    code = own.find("train.loss", settings)
    assert code is not None
    takes = catalog.entry("train.loss", settings.train.loss)
    assert takes is not None
    if settings.train.label_smoothing and "label_smoothing" not in takes.takes:
        raise UsageError("takes no label_smoothing, which the study sets; add the argument, or leave it at 0")
    if settings.balance.class_weights != "none" and "weight" not in takes.takes:
        raise UsageError(
            "takes no weight, which train.class_weights sets; add the argument, or leave it at none"
        )
    if isinstance(code.function, nn.Module) and any(code.function.parameters()):
        raise UsageError("has parameters, which no optimiser is given; have them in the model")
    num_classes = len(images.classes)
    weight = torch.ones(num_classes) if settings.balance.class_weights != "none" else None
    loss = own.loss(settings, weight, "cpu")
    assert loss is not None
    is_soft = images.soft_labels is not None
    for has_shares in sorted({is_soft or value != "none" for value in ends(study.train["mix"])}):
        for size in (2, 3):
            logits = torch.randn(size, num_classes, requires_grad=True)
            labels = torch.arange(size) % num_classes
            targets = torch.rand(size, num_classes).softmax(1) if has_shares else labels
            value = loss(logits, targets)
            source = "data.soft_labels has" if is_soft else "train.mix makes"
            of_what = f"the shares of classes that {source}" if has_shares else "labels"
            if not value.isfinite():
                raise UsageError(f"gives {value.item()} for logits and {of_what} of {size} images")
            if not value.requires_grad:
                raise UsageError(
                    "gives a loss without a gradient; compute it by torch, without detach or item"
                )
            value.backward()  # type: ignore[no-untyped-call]
            if logits.grad is None or not logits.grad.any():
                raise UsageError(f"gives a loss of which no gradient reaches the logits, with {of_what}")
            if not logits.grad.isfinite().all():
                raise UsageError(f"gives a loss whose gradient is not finite, with {of_what}")


def _try_optimizer(study: Study, settings: "training.Settings", images: Images) -> None:
    """It changes weights by the learning rate of the moment, and goes on after a checkpoint with equal bits."""
    import torch

    from harness.training import checkpoint, own
    from harness.training.optim import make_optimizers

    def made() -> checkpoint.State:
        torch.default_generator.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten(), torch.nn.Linear(16, 3))
        return checkpoint.State(model, make_optimizers(model, settings.optim, own.optimizer(settings)))

    def trained(state: checkpoint.State, steps: range, lr: float = settings.optim.lr) -> Any:
        for step in steps:
            torch.default_generator.manual_seed(step)
            state.model.zero_grad()
            state.model(torch.randn(2, 3, 4, 4)).square().mean().backward()
            for optimizer in state.optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = lr * group["lr_scale"]
                with torch.no_grad():
                    optimizer.step()
        return torch.cat([parameter.detach().flatten() for parameter in state.model.parameters()])

    whole = made()
    first, after = trained(whole, range(0)), trained(whole, range(1))
    if not after.isfinite().all():
        raise UsageError("makes weights that are not finite in its first step")
    if torch.equal(first, after):
        raise UsageError("changes no weight in its first step")
    if torch.equal(after, trained(made(), range(1), settings.optim.lr / 2)):
        raise UsageError("does not read lr of its groups, which the schedule sets at every step: group['lr']")
    trained(whole, range(1, 3))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint"
        checkpoint.write(path, checkpoint.Progress(), whole, {})
        resumed = made()
        checkpoint.read(path, resumed, {})
    if not torch.equal(trained(whole, range(3, 5)), trained(resumed, range(3, 5))):
        raise UsageError(
            "goes on with other bits after a checkpoint: what it remembers must be tensors like their parameter, or "
            "numbers, in self.state[parameter], or numbers in its groups"
        )


def _try_schedule(study: Study, settings: "training.Settings", images: Images) -> None:
    """Finite, not below 0, the same when asked again, and above 0 somewhere."""
    from harness.training import own
    from harness.training.optim import Schedule

    num_train = int(len(images) * (study.cv.parts - 1) // study.cv.parts)
    steps = max(num_train // settings.train.batch_size, 1)
    schedule = Schedule(
        settings.optim, num_epochs=settings.train.epochs, steps_per_epoch=steps, own=own.schedule(settings)
    )
    every = range(0, schedule.num_steps, -(-schedule.num_steps // MOST_STEPS))
    factors = [schedule.multiplier(step) for step in (*every, schedule.num_steps - 1)]
    if factors != [schedule.multiplier(step) for step in (*every, schedule.num_steps - 1)]:
        raise UsageError("gives another factor the second time; it must depend on its arguments alone")
    if not any(factors):
        raise UsageError("gives 0 at every step, so that nothing is trained")


def _try_augment(study: Study, settings: "training.Settings", images: Images) -> None:
    """Shape and type stay, values are finite, and torch's generator decides all that is drawn."""
    import torch

    from harness.training import own
    from harness.training.augment import OwnChange

    augmentation = own.augmentation(settings)
    assert augmentation is not None
    for size in (2, 3):
        batch = torch.from_numpy(images.pixels[:size].copy()).float() / 255
        first, again = (OwnChange(augmentation, seed=0).on(batch.clone(), 0) for _ in range(2))
        if not first.isfinite().all():
            raise UsageError("makes pixels that are not finite")
        if not torch.equal(first, again):
            raise UsageError(
                "changes the same images otherwise the second time after the same seed; draw by torch's generator, as "
                "torch.rand does, not by numpy's or random's"
            )


TRIES: dict[str, Try] = {
    "loss": _try_loss,
    "optimizer": _try_optimizer,
    "schedule": _try_schedule,
    "augment": _try_augment,
    "loop": try_loop,
}


def _other_defaults(study: Study, kind: str, entry: Entry, plugin: Plugin) -> list[str]:
    """Arguments that have another default than harness's option of that name, where the study has that one."""
    import inspect

    known, signature = catalog.train_options(), inspect.signature(plugins.load(plugin)).parameters
    return [
        f"train.{name} is {known[name].default}, harness's default, where {entry.place} has {default}; name the one "
        "that you want"
        for name in entry.takes
        if name in known
        and study.train[name] == known[name].default
        and (default := signature[name].default) not in (inspect.Parameter.empty, known[name].default)
    ]


def _called(plugin: Plugin) -> str:
    return f"{KINDS[plugin.kind].word} {plugin.name}: {plugin.place}"
