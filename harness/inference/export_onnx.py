"""An exported program as an ONNX file, run by ONNX Runtime. The only importer of onnx and onnxruntime."""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

from harness.errors import UsageError

Run = Callable[[np.ndarray], np.ndarray]
PACKAGES = ("onnx", "onnxruntime", "onnxscript")
INPUT, OUTPUT = "images", "probabilities"  # of every exported file


@dataclass(frozen=True)
class File:
    """content: of the file.   run: computes with this very content."""

    content: bytes
    run: Run


def require() -> None:
    """Raises UsageError that says how to get what is missing."""
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"export to onnx needs {', '.join(missing)}; install with: pip install 'harness-cv[export]'"
        )


def onnx_file(program: Any, document: dict[str, Any]) -> File:
    """The program with its description as metadata; the batch is of any size.

    program: torch's ExportedProgram from INPUT to one output.   document: values are written as JSON.
    """
    import torch

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    exported = torch.onnx.export(
        program, dynamo=True, verbose=False, external_data=False, input_names=[INPUT], output_names=[OUTPUT]
    )
    assert exported is not None
    proto = exported.model_proto
    _tidy(proto)
    for key, value in document.items():
        proto.metadata_props.add(key=key, value=value if isinstance(value, str) else json.dumps(value))
    content = proto.SerializeToString()
    return File(content, _runner(content))


def _tidy(proto: Any) -> None:
    """Calls the first axis batch, and leaves out where on this machine each line of the network was written."""
    graph = proto.graph
    own = graph.input[0].type.tensor_type.shape.dim[0].dim_param
    for part in (graph, *graph.node, *graph.initializer, *graph.input, *graph.output, *graph.value_info):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    for value in (*graph.input, *graph.output, *graph.value_info):
        for axis in value.type.tensor_type.shape.dim:
            if own and axis.dim_param == own:
                axis.dim_param = "batch"


def _runner(content: bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def run(images: np.ndarray) -> np.ndarray:
        outputs: np.ndarray = session.run([OUTPUT], {INPUT: images})[0]
        return outputs

    return run
