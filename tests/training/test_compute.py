import json
import platform
from dataclasses import asdict, replace
from importlib.metadata import version

import numpy as np
import pytest
import torch

from harness.errors import HarnessError
from harness.training import (
    Compute,
    ComputeOptions,
    compute,
    fingerprint,
    recorded,
    resolve,
    session,
)
from harness.training import environment as prints

CPU = Compute("cpu", "fp32", channels_last=True, threads=1)


def test_resolving_leaves_no_auto_and_survives_json() -> None:
    resolved = resolve(ComputeOptions())
    assert "auto" not in asdict(resolved).values()
    assert Compute(**json.loads(json.dumps(asdict(resolved)))) == resolved


@pytest.mark.parametrize(("capabilities", "expected"), [({"avx512_bf16": True}, "bf16"), ({}, "fp32")])
def test_bf16_is_chosen_where_the_processor_has_it(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], expected: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert resolve(ComputeOptions(device="cpu")).precision == expected
    assert resolve(ComputeOptions(device="cpu", precision="fp32")).precision == "fp32"


def test_a_device_that_is_not_there_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(HarnessError, match="cuda is not available on this machine"):
        resolve(ComputeOptions(device="cuda"))
    with (
        pytest.raises(HarnessError, match="cuda is not available on this machine"),
        session(Compute("cuda", "bf16", channels_last=True, threads=1)),
    ):
        pass


def test_a_graph_is_for_cuda_alone_and_leaves_the_keys_of_all_other_folds_as_they_were(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert resolve(ComputeOptions(device="cpu", cuda_graph=True)) == resolve(ComputeOptions(device="cpu"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    graph = resolve(ComputeOptions(device="cuda", precision="fp32", cuda_graph=True))
    assert recorded(graph)["cuda_graph"] is True and Compute(**recorded(graph)) == graph
    plain = replace(graph, cuda_graph=False)
    assert Compute(**recorded(plain)) == plain
    assert list(recorded(plain)) == ["device", "precision", "channels_last", "threads", "micro_batches"]


def test_a_profile_waits_for_the_gpu_but_not_within_a_capture(monkeypatch: pytest.MonkeyPatch) -> None:
    happened = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: happened.append("waited"))
    for capturing, expected in ((False, ["waited"]), (True, [])):
        happened.clear()
        monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda answer=capturing: answer)
        compute._wait_for_device()
        assert happened == expected


def test_a_session_puts_everything_back_even_after_an_error() -> None:
    def state() -> tuple[object, ...]:
        cudnn = torch.backends.cudnn
        return (
            torch.get_num_threads(),
            torch.are_deterministic_algorithms_enabled(),
            torch.utils.deterministic.fill_uninitialized_memory,
            (cudnn.deterministic, cudnn.benchmark),
            torch.get_rng_state().tolist(),
        )

    before = state()
    with pytest.raises(KeyError), session(Compute("cpu", "fp32", True, threads=torch.get_num_threads() + 1)):
        assert torch.get_num_threads() == before[0] + 1
        assert torch.are_deterministic_algorithms_enabled()
        torch.manual_seed(1)
        raise KeyError
    assert state() == before


def test_the_fingerprint_is_text_and_names_what_changes_the_bits() -> None:
    found = fingerprint(CPU)
    assert all(isinstance(value, str) and value for value in found.values())
    assert {"torch", "instructions", "onednn", "processor", "threads", "precision", "device"} <= found.keys()
    assert found["numpy"] == np.__version__ and found["python"] == platform.python_version()
    assert found != fingerprint(Compute("cpu", "fp32", channels_last=True, threads=2))


def test_the_fingerprint_has_what_a_user_has_told_cublas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    gpu = Compute("cuda", "fp32", channels_last=True, threads=1)
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    untold, on_cpu = fingerprint(gpu), fingerprint(CPU)
    for told, same in (
        (":4096:8", True),
        (":16:8", False),
        ("", False),
    ):  # the first is what a session sets itself
        monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", told)
        assert (fingerprint(gpu) == untold) == same
        assert same or f"CUBLAS_WORKSPACE_CONFIG={told}" in fingerprint(gpu)["variables"].split(" ")
        assert fingerprint(CPU) == on_cpu


def test_an_unknown_processor_still_has_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    prints._processor_name.cache_clear()
    monkeypatch.setattr(prints.Path, "exists", lambda _: False)
    assert fingerprint(CPU)["processor"]
    prints._processor_name.cache_clear()


def test_the_fingerprint_names_the_packages_that_the_training_imports_alone() -> None:
    assert "timm" not in fingerprint(CPU, ["torch", "numpy"]) and "numpy" in fingerprint(
        CPU, ["torch", "numpy"]
    )
    assert fingerprint(CPU, ["torchvision"])["torchvision"] == version("torchvision")
    assert fingerprint(CPU, ["sklearn"])["scikit-learn"] == version("scikit-learn")


@pytest.mark.parametrize(
    ("capabilities", "cap", "expected"),
    [
        (("sse4_1", "avx", "avx2"), "", "AVX2"),
        (("sse4_1", "avx", "avx2"), "avx", "AVX"),
        (("sse4_1", "avx", "avx2"), "AVX512_CORE", "AVX2"),
        (("sse4_1", "avx", "avx2", "avx512_bw", "avx512_vnni"), "AVX2", "AVX2"),
        (("sse4_1", "avx", "avx2", "avx512_bw", "avx512_vnni"), "ALL", "AVX512_CORE_VNNI"),
    ],
)
def test_onednn_takes_the_best_instructions_that_it_may(
    monkeypatch: pytest.MonkeyPatch, capabilities: tuple[str, ...], cap: str, expected: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: dict.fromkeys(capabilities, True))
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", cap)
    assert prints.onednn_instructions() == expected == fingerprint(CPU)["onednn"]


def test_a_caller_s_own_settings_of_torch_are_no_input() -> None:
    before = torch.get_default_dtype(), torch.get_float32_matmul_precision()
    torch.set_default_dtype(torch.float64)
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16), session(CPU):
            layer = torch.nn.Linear(2, 2)
            out = layer(torch.ones(1, 2))
            assert layer.weight.dtype == out.dtype == torch.float32 and out.requires_grad
            assert torch.get_float32_matmul_precision() == "highest"
        assert torch.get_default_dtype() == torch.float64
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_default_dtype(before[0])
        torch.set_float32_matmul_precision(before[1])


def test_switches_of_cuda_s_libraries_are_torch_s_own_and_put_back() -> None:
    cuda, cudnn = torch.backends.cuda, torch.backends.cudnn
    matmul = cuda.matmul

    def state() -> tuple[object, ...]:
        return (
            cudnn.enabled,
            matmul.allow_bf16_reduced_precision_reduction,
            matmul.allow_bf16_reduced_precision_reduction_split_k,
            matmul.allow_fp16_reduced_precision_reduction,
            matmul.allow_fp16_accumulation,
            cuda.flash_sdp_enabled(),
            cuda.mem_efficient_sdp_enabled(),
            cuda.math_sdp_enabled(),
            cuda.cudnn_sdp_enabled(),
            cuda.fp16_bf16_reduction_math_sdp_allowed(),
        )

    def switch(*, on: bool) -> None:
        cudnn.enabled = on
        matmul.allow_bf16_reduced_precision_reduction = (on, on)
        matmul.allow_fp16_reduced_precision_reduction = on
        matmul.allow_fp16_accumulation = not on
        for enable in (
            cuda.enable_flash_sdp, cuda.enable_mem_efficient_sdp, cuda.enable_math_sdp, cuda.enable_cudnn_sdp
        ):  # fmt: skip
            enable(on)
        cuda.allow_fp16_bf16_reduction_math_sdp(not on)

    own = state()
    assert own == (True, True, True, True, False, True, True, True, True, False)
    switch(on=False)
    try:
        changed = state()
        with pytest.raises(KeyError), session(CPU):
            assert state() == own
            raise KeyError
        assert state() == changed != own
    finally:
        switch(on=True)
    assert state() == own


@pytest.mark.parametrize("variable", ["NPY_DISABLE_CPU_FEATURES=AVX2", "TIMM_FUSED_ATTN=0"])
def test_the_fingerprint_has_what_numpy_and_timm_are_told(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    name, _, told = variable.partition("=")
    monkeypatch.delenv(name, raising=False)
    untold = fingerprint(CPU)
    assert name not in untold.get("variables", "")
    monkeypatch.setenv(name, told)
    assert variable in fingerprint(CPU)["variables"].split(" ")
