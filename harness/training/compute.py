"""Where and how the arithmetic is done: device, precision, memory layout, threads.

On one machine the same `Compute` gives the same bits; `environment.py` says what may change them elsewhere.
"""

import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Annotated, Any, Literal, NamedTuple, assert_never

import torch

from harness import profiler
from harness.config import catalog
from harness.config.signatures import Between, Younger, without_younger
from harness.environment import environment, unless_set
from harness.errors import HarnessError, TrialError

# Read when cuBLAS starts; without it deterministic matrix products raise.
CUBLAS = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
MATMUL = {  # what torch lets cuBLAS do
    "allow_bf16_reduced_precision_reduction": True,
    "allow_fp16_reduced_precision_reduction": True,
    "allow_fp16_accumulation": False,
}


@dataclass(frozen=True)
class ComputeOptions:
    """What a user may ask for; `auto` takes the best this machine has.

    `compute: auto` in a study, instead of these, measures once which precision, layout and threads are fastest.
    device: what the network is trained on. Default: a CUDA GPU where there is one, then Apple's, then the processor.
    precision: of the activations; weights and losses stay in fp32. Default: bf16 where the device has instructions for
    it.
    channels_last: store images as (N, H, W, C), which convolutions are faster on. Default: they were on all
    processors measured.
    threads: of the processor, per worker; they change the bits of a result, so they are never guessed. Default: folds
    beside one another use the processors better than threads of one fold do.
    cuda_graph: on a CUDA GPU, capture forward and backward of a batch once and replay them; elsewhere without effect.
    """

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    channels_last: bool = True
    threads: Annotated[int, Between(1, 256)] = 1
    cuda_graph: Annotated[bool, Younger()] = False


@dataclass(frozen=True)
class Compute:
    """`ComputeOptions` with every `auto` decided; `Compute(**asdict(compute))` gives it back from JSON.

    micro_batches: parts that a batch goes through the network in, one after the other, where memory asks for it; the
    step is that of the whole batch, but batch norm sees the parts.
    """

    device: Literal["cpu", "cuda", "mps"]
    precision: Literal["fp32", "bf16"]
    channels_last: bool
    threads: int
    micro_batches: int = 1
    cuda_graph: bool = False

    @property
    def dtype(self) -> torch.dtype:
        """Of the activations; weights and losses stay in fp32."""
        match self.precision:
            case "bf16":
                return torch.bfloat16
            case "fp32":
                return torch.float32
            case _:
                assert_never(self.precision)


def resolve(options: ComputeOptions) -> Compute:
    """Decide every `auto`: a GPU where there is one, bf16 where the hardware has instructions for it.

    Raises HarnessError for a device that this machine does not have.
    """
    here, device = _devices(), options.device
    if device == "auto":
        device = "cuda" if here["cuda"] else "mps" if here["mps"] else "cpu"
    _require(device)
    precision = options.precision
    if precision == "auto":
        precision = "bf16" if _has_bf16(device) else "fp32"
    graph = options.cuda_graph and device == "cuda"
    return Compute(device, precision, options.channels_last, options.threads, cuda_graph=graph)


def on_this_machine(compute: Compute) -> Compute:
    """The same, or fp32 on the processor where this machine lacks the device: to use a network trained elsewhere."""
    if _devices()[compute.device]:
        return compute
    return Compute("cpu", "fp32", compute.channels_last, compute.threads)


def recorded(compute: Compute) -> dict[str, Any]:
    """What records and the keys of folds say of it: nothing of younger options that have their default."""
    return without_younger(asdict(compute), catalog.compute_options().values())


@contextmanager
def session(compute: Compute) -> Iterator[None]:
    """Set the thread count, deterministic kernels and torch's own defaults, fork its random state; put all back.

    Build and train the model inside. What stays: the process keeps the memory it once had (see below).
    Raises HarnessError for a device that this machine does not have.
    """
    _require(compute.device)
    _keep_freed_memory()
    variables = {}
    if compute.device == "cuda":
        variables = unless_set(CUBLAS)
        if running := profiler.current():
            running.synchronise = _wait_for_device
    threads, cudnn, memory = torch.get_num_threads(), torch.backends.cudnn, torch.utils.deterministic
    debug_mode = torch.get_deterministic_debug_mode()
    fill = memory.fill_uninitialized_memory  # type: ignore[attr-defined]
    flags = cudnn.deterministic, cudnn.benchmark
    accelerators = [torch.cuda.current_device()] if compute.device == "cuda" else []
    with environment(variables), torch.random.fork_rng(devices=accelerators):
        try:
            torch.set_num_threads(compute.threads)
            # Does what use_deterministic_algorithms does, without its import of torch.compile's parts (6 s).
            torch.set_deterministic_debug_mode("warn")
            # Filling costs time and changes no result.
            memory.fill_uninitialized_memory = False  # type: ignore[attr-defined]
            cudnn.deterministic, cudnn.benchmark = True, False
            with _defaults():
                yield
        finally:
            torch.set_num_threads(threads)
            torch.set_deterministic_debug_mode(debug_mode)
            memory.fill_uninitialized_memory = fill  # type: ignore[attr-defined]
            cudnn.deterministic, cudnn.benchmark = flags


@contextmanager
def _defaults() -> Iterator[None]:
    """What torch computes with where nobody has changed it: a caller's own settings are no input of a fold."""
    dtype, device = torch.get_default_dtype(), torch.get_default_device()
    precision, cudnn = torch.get_float32_matmul_precision(), torch.backends.cudnn
    tf32, switches = cudnn.allow_tf32, _switches()
    onednn, *_ = torch.backends.mkldnn.set_flags(True)  # type: ignore[no-untyped-call]
    with torch.enable_grad(), ExitStack() as stack:
        for kind in ("cpu", "cuda"):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        try:
            torch.set_default_dtype(torch.float32)
            if device.type != "cpu":  # setting it at all slows every call
                torch.set_default_device("cpu")
            torch.set_float32_matmul_precision("highest")
            cudnn.allow_tf32 = True
            for switch in switches:
                switch.set(switch.default)
            yield
        finally:
            torch.set_default_dtype(dtype)
            if device.type != "cpu":
                torch.set_default_device(device)
            torch.set_float32_matmul_precision(precision)
            torch.backends.mkldnn.set_flags(onednn)  # type: ignore[no-untyped-call]
            cudnn.allow_tf32 = tf32
            for switch in switches:
                switch.set(switch.found)


class _Switch(NamedTuple):
    """One of torch's, which is on or off for the whole process."""

    found: Any
    default: Any
    set: Callable[[Any], None]


def _switches() -> list[_Switch]:
    """Those of CUDA's libraries, as they are. Source of the defaults: ATen/Context.h."""
    cuda, cudnn = torch.backends.cuda, torch.backends.cudnn
    return [
        _Switch(cudnn.enabled, True, partial(setattr, cudnn, "enabled")),
        *(
            _Switch(_matmul(name), default, partial(setattr, cuda.matmul, name))
            for name, default in MATMUL.items()
        ),
        _Switch(cuda.flash_sdp_enabled(), True, cuda.enable_flash_sdp),  # type: ignore[no-untyped-call]
        _Switch(cuda.mem_efficient_sdp_enabled(), True, cuda.enable_mem_efficient_sdp),  # type: ignore[no-untyped-call]
        _Switch(cuda.math_sdp_enabled(), True, cuda.enable_math_sdp),  # type: ignore[no-untyped-call]
        _Switch(cuda.cudnn_sdp_enabled(), True, cuda.enable_cudnn_sdp),  # type: ignore[no-untyped-call]
        _Switch(
            cuda.fp16_bf16_reduction_math_sdp_allowed(),  # type: ignore[no-untyped-call]
            False,
            cuda.allow_fp16_bf16_reduction_math_sdp,
        ),
    ]


def _matmul(name: str) -> Any:
    """A switch of cuBLAS, with the one for sums in parts beside it where it has such."""
    matmul = torch.backends.cuda.matmul
    parts = getattr(matmul, f"{name}_split_k", None)
    return getattr(matmul, name) if parts is None else (getattr(matmul, name), parts)


@contextmanager
def memory_errors() -> Iterator[None]:
    """Turn memory that does not suffice into a TrialError: the study can go on without this trial."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise TrialError(
            "not enough GPU memory; lower train.batch_size or the size of the model", "memory"
        ) from error
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "can't allocate memory" not in str(error):
            raise
        raise TrialError(
            "not enough memory; lower train.batch_size or the size of the model", "memory"
        ) from error


def _wait_for_device() -> None:
    """For what it was given, so that its time is that phase's; what is being captured does not run."""
    if not torch.cuda.is_current_stream_capturing():
        torch.cuda.synchronize()


def _keep_freed_memory() -> None:
    """Tell glibc to reuse the memory of freed activations rather than return it and fault it in again.

    Every step takes and frees the same sizes. How often glibc gives them back depends on the heap's layout;
    tests/benchmarks/README.md has the cost. Without glibc this does nothing.
    """
    mmap_threshold, trim_threshold = -3, -1  # the names' numbers in malloc.h
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None:
        mallopt(mmap_threshold, 2**30)
        mallopt(trim_threshold, 2**31 - 1)


def _devices() -> dict[str, bool]:
    return {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}


def _require(device: str) -> None:
    here = _devices()
    if not here[device]:
        available = ", ".join(name for name, present in here.items() if present)
        raise HarnessError(f"device {device} is not available on this machine (it has: {available})")


def _has_bf16(device: Literal["cpu", "cuda", "mps"]) -> bool:
    match device:
        case "cuda":
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
        case "mps":
            return False
        case "cpu":
            has = torch.cpu.get_capabilities()
            return bool(has.get("avx512_bf16") or has.get("amx_bf16"))
        case _:
            assert_never(device)
