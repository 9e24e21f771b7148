"""How much of this machine those who ask may use."""

from dataclasses import dataclass

from harness.data.limited import Bounds

APART = Bounds(seconds=10, deadline_seconds=30, memory_gib=1.0)


@dataclass(frozen=True)
class Limits:
    """body_bytes: of a request with one image, and of each image of a batch.   batch_bytes, batch_images: of a batch.

    head_bytes, head_lines: of the head of a request.
    receive_seconds: for the head of a request, and for its body.   send_seconds: for its answer.
    connections: at once; more are turned away.   held_bytes: of all bodies together.
    at_once: requests that are worked on, each for work_seconds; others wait for wait_seconds.
    light_bytes: of a decoded image that this process decodes; larger ones, and those that may take long, are decoded
    one after the other by a process of their own, within `apart`.
    forward_images: that the network is given at once.
    """

    body_bytes: int = 10_000_000
    batch_bytes: int = 64_000_000
    batch_images: int = 1000
    head_bytes: int = 65_536
    head_lines: int = 100
    receive_seconds: float = 20.0
    send_seconds: float = 20.0
    connections: int = 512
    held_bytes: int = 256_000_000
    at_once: int = 64
    work_seconds: float = 300.0
    wait_seconds: float = 10.0
    light_bytes: int = 2**25
    apart: Bounds = APART
    forward_images: int = 64
