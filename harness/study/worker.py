"""What a worker process needs, imported once, in the process that all workers are forked from."""

import harness.scoring
import harness.study.executors
import harness.training  # noqa: F401
