"""python -m tests.benchmarks.peers NAME TASK: runs one peer; its last line is what it found, as JSON."""

import json
import sys
from importlib import import_module

from tests.benchmarks.peers import Task


def main() -> None:
    name, task = sys.argv[1:]
    module, _, option = name.partition(":")
    search = import_module(f"tests.benchmarks.peers.{module}").search
    found = search(Task(**json.loads(task)), *([option] if option else []))
    print(found.as_json())


if __name__ == "__main__":
    main()
