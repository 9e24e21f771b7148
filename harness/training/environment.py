"""What may change the bits of a result where task and code are the same: versions, instruction sets, the machine."""

import os
import platform
import sys
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from harness.provenance import COMPUTING
from harness.training.compute import CUBLAS, Compute

# oneDNN's instruction sets, the least first, each with what it needs. Source: oneDNN, "CPU Dispatcher Control".
ONEDNN = (
    ("SSE41", "sse4_1"),
    ("AVX", "avx"),
    ("AVX2", "avx2"),
    ("AVX2_VNNI", "avx_vnni"),
    ("AVX2_VNNI_2", "avx_vnni_int8"),
    ("AVX512_CORE", "avx512_bw"),
    ("AVX512_CORE_VNNI", "avx512_vnni"),
    ("AVX512_CORE_BF16", "avx512_bf16"),
    ("AVX512_CORE_FP16", "avx512_fp16"),
    ("AVX512_CORE_AMX", "amx_int8"),
    ("AVX512_CORE_AMX_FP16", "amx_fp16"),
)
# Variables that libraries read by themselves and that change their arithmetic.
VARIABLES = (
    "DNNL_DEFAULT_FPMATH_MODE",
    "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS",
    "NPY_DISABLE_CPU_FEATURES",
    "NVIDIA_TF32_OVERRIDE",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "TIMM_FUSED_ATTN",
)
DRIVER = Path("/proc/driver/nvidia/version")


def fingerprint(compute: Compute, imported: Iterable[str] = COMPUTING) -> dict[str, str]:
    """What may change the bits of a result, by name; equal fingerprints promise equal bits.

    imported: names of the modules that the training imports; without it, all that compute.
    """
    found = {
        "torch": torch.__version__,
        "torch_commit": str(torch.version.git_version),
        "python": platform.python_version(),
        **_versions(frozenset(imported)),
        "system": f"{platform.system()} {platform.machine()}",
        "device": compute.device,
        "processor": _processor_name(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "onednn": onednn_instructions(),
        "threads": str(compute.threads),
        "precision": compute.precision,
        "channels_last": str(compute.channels_last).lower(),
        "micro_batches": str(compute.micro_batches),
    }
    variables = [f"{name}={os.environ[name]}" for name in VARIABLES if os.environ.get(name)]
    if compute.device == "cuda":  # what a session sets where the user has not
        variables += [
            f"{name}={os.environ[name]}" for name, own in CUBLAS.items() if os.environ.get(name, own) != own
        ]
    if variables:
        found["variables"] = " ".join(variables)
    if compute.device == "cuda":
        found["gpu"] = torch.cuda.get_device_name()
        found["driver"] = _driver()
        found["cuda"] = str(torch.version.cuda)
        found["cudnn"] = str(torch.backends.cudnn.version())  # type: ignore[no-untyped-call]
        if compute.cuda_graph:
            found["cuda_graph"] = "true"
    return found


def onednn_instructions() -> str:
    """The instruction set that oneDNN's kernels are made for: the processor's best, or what the environment allows.

    torch does not tell it, so this is what oneDNN's documentation says that it does.
    """
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return "none"
    has, names = torch.cpu.get_capabilities(), [name for name, _ in ONEDNN]
    cap = os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA") or ""
    allowed = ONEDNN[: names.index(cap.upper()) + 1] if cap.upper() in names else ONEDNN
    best = [name for name, capability in allowed if has.get(capability)]
    return best[-1] if best else platform.machine() or "unknown"


@cache
def _versions(imported: frozenset[str]) -> dict[str, str]:
    found = {}
    for module, package in COMPUTING.items():
        if module in imported:
            try:
                found[package] = version(package)
            except PackageNotFoundError:  # an extra that this training has not used
                continue
    return found


def _driver() -> str:
    """The version of the GPU's driver, where the system tells it."""
    if not DRIVER.exists():
        return "unknown"
    words = DRIVER.read_text(encoding="utf-8", errors="replace").split()
    return next((word for word in words if word[0].isdigit() and "." in word), "unknown")


@cache
def _processor_name() -> str:
    """The model's name where the system tells it; platform.processor() is often empty or just `x86_64`."""
    information = Path("/proc/cpuinfo")
    if sys.platform == "linux" and information.exists():
        for line in information.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
