"""What workers need, imported once, in the process that all of them are forked from.

That process looks whether its driver is still there only when it has imported everything, which can take ten seconds
on a busy machine; so it first asks the kernel to end it with the driver. Workers do not inherit that; they watch.
"""

# ruff: noqa: E402
import ctypes
import os
import signal
import sys

DRIVER = "HARNESS_DRIVER"  # the driver's process id
PR_SET_PDEATHSIG = 1  # linux/prctl.h

if sys.platform == "linux" and DRIVER in os.environ:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(os.environ[DRIVER]):  # it is gone already
        os._exit(1)

import harness.folds.code
import harness.folds.worker
import harness.scoring
import harness.training.features
import harness.training.loop
import harness.training.options

harness.folds.code.hashes("")  # the sources as they are imported here, also if a file is edited later
