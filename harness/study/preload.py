"""What workers need, imported once, in the process that all of them are forked from."""

import harness.scoring
import harness.study.worker
import harness.training  # noqa: F401
