"""What MLflow should show of a study beside its runs: the experiment's tags, its table, the data. No MLflow in here."""

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Any

from harness.records import StudyRecord
from harness.tracking.value_limits import cut

TABLE = "trials"  # the name of the saved view that lists a study's trials, best first
MOST_WIDTH = 430  # pixels that the searched values share, so that a window of 1440 has all columns


@dataclass(frozen=True)
class DatasetView:
    """The training images, as MLflow describes data. source, schema, profile: JSON."""

    name: str
    digest: str
    source: str
    schema: str
    profile: str


def study_id(study: StudyRecord) -> str:
    """Tells two studies of one name apart, e.g. of two people on one server; it stays where a study is renamed."""
    name, *_ = (*study.names, study.name)
    return hashlib.sha256(f"{name}\n{study.created!r}\n{study.seed}".encode()).hexdigest()[:16]


def experiment_tags(study: StudyRecord) -> dict[str, str]:
    """Of the study's experiment: machine-learning pages, the question, and how the table is first shown."""
    scores = [f"cv/{study.objective}", f"cv/{study.objective}_half_width"]
    scores += [f"cv/{objective.name}" for objective in study.others]
    tags = ["harness.state"] + ["harness.pareto"] * bool(study.others)
    widths = {"attributes.`Run Name`": 100, "runDateAndNestInfo": 90}
    widths |= {f"metrics.`{name}`": _width(name) for name in scores}
    whole = {path: _width(path) for path in searched(study)}
    room = MOST_WIDTH - 100 * len(study.others)
    share = min(1.0, max(room, 0) / max(sum(whole.values()), 1))
    widths |= {f"params.`{path}`": max(round(share * width), 64) for path, width in whole.items()}
    widths |= {f"tags.`{name}`": _width(name) for name in tags}
    columns = [column for column in widths if column.startswith(("metrics.", "params.", "tags."))]
    table = {
        "searchFilter": "tags.`harness.level` = 'trial'",
        "orderByKey": f"metrics.`cv/{study.objective}`",
        "orderByAsc": study.direction == "minimize",
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "selectedColumns": [*columns, "attributes.`Duration`"],
        "columnOrder": list(widths),
        "columnWidths": widths,
    }
    return {
        "harness.study": study.name,
        "harness.study_id": study_id(study),
        "mlflow.experimentKind": "custom_model_development",
        "mlflow.experiment.primaryMetric.name": f"cv/{study.objective}",
        "mlflow.experiment.primaryMetric.greaterIsBetter": str(study.direction == "maximize"),
        "mlflow.note.content": cut(study.question),
        f"mlflow.sharedViewState.{TABLE}": json.dumps(table),
    }


def _width(name: str) -> int:
    """Pixels of a column whose head shows all of its name: of a name that is cut, another one may begin so."""
    return max(80, 22 + 7 * len(name))


def dataset(study: StudyRecord) -> DatasetView:
    """The training images."""
    data = study.data
    shapes = {
        "features": ("images", "uint8", [-1, *data["image_shape"]]),
        "targets": ("labels", "int64", [-1]),
    }
    tensors = {
        part: [{"name": name, "type": "tensor", "tensor-spec": {"dtype": dtype, "shape": shape}}]
        for part, (name, dtype, shape) in shapes.items()
    }
    sealed = data.get("test", {}).get("num_images")
    profile = {"images": data["num_images"], "classes": data["classes"], "sealed test images": sealed}
    return DatasetView(
        name=str(data["settings"]["name"]),
        digest=str(data["hash"])[:8],
        source=json.dumps(data["settings"], ensure_ascii=False, default=str),
        schema=json.dumps({"mlflow_tensorspec": tensors}),
        profile=json.dumps(profile, ensure_ascii=False),
    )


def sealed_dataset(study: StudyRecord) -> DatasetView:
    """The sealed test images."""
    sealed, whole = study.data["test"], dataset(study)
    profile = {"images": sealed["num_images"], "classes": study.data["classes"]}
    return replace(whole, digest=str(sealed["hash"])[:8], profile=json.dumps(profile, ensure_ascii=False))


def searched(study: StudyRecord) -> dict[str, Any]:
    """What the study file says of each searched name; a list of that, where each of several models has its own."""
    return {
        path: settings[0] if len(settings) == 1 else settings
        for path, settings in study.settings.items()
        if any(isinstance(setting, list | dict) for setting in settings)
    }
