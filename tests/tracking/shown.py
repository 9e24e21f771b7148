"""What an MLflow database and its artifacts hold, without ids that differ from time to time."""

import re
import sqlite3
from pathlib import Path
from typing import Any

RANDOM_ID = re.compile(r"m-[0-9a-f]{32}|[0-9a-f]{32}")
VOLATILE = re.compile(rb"utc_time_created: .*\n")


def shown(home: Path) -> dict[str, Any]:
    """Every row of the tables that matter, and every artifact's content, with ids replaced by run names."""
    database = sqlite3.connect(home / "mlflow.db")
    names = dict(database.execute("SELECT run_uuid, name FROM runs"))
    names |= {
        model: f"model of {names[run]}"
        for model, run in database.execute("SELECT model_id, source_run_id FROM logged_models")
    }

    def rows(query: str) -> list[tuple[str, ...]]:
        found = [tuple(_named(str(value), names) for value in row) for row in database.execute(query)]
        return sorted(found)

    result: dict[str, Any] = {
        "runs": rows("SELECT name, status, start_time, end_time, lifecycle_stage FROM runs"),
        "tags": rows("SELECT run_uuid, key, value FROM tags"),
        "params": rows("SELECT run_uuid, key, value FROM params"),
        "metrics": rows("SELECT run_uuid, key, timestamp, step, value, is_nan FROM metrics"),
        "latest": rows("SELECT run_uuid, key, timestamp, step, value FROM latest_metrics"),
        "links": rows("SELECT destination_type, destination_id FROM inputs WHERE source_type = 'RUN_OUTPUT'"),
        "datasets": rows("SELECT name, digest FROM datasets"),
        "models": rows("SELECT model_id, name, status FROM logged_models"),
        "experiments": rows("SELECT name, lifecycle_stage FROM experiments"),
        "files": sorted(_files(home / "artifacts", names)),
    }
    database.close()
    return result


def _named(text: str, names: dict[str, str]) -> str:
    return RANDOM_ID.sub(lambda match: names.get(match.group(), match.group()), text)


def _files(folder: Path, names: dict[str, str]) -> list[tuple[str, bytes]]:
    found = []
    for path in folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            if path.name == "MLmodel":
                content = _named(VOLATILE.sub(b"", content).decode(), names).encode()
                content = re.sub(rb"artifact_path: .*\n", b"", content)
            found.append((_named(str(path.relative_to(folder)), names), content))
    return found
