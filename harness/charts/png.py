"""A chart as a PNG file."""

from pathlib import Path
from typing import Any

from harness.charts.spec import Spec

SCALE = 1.25  # pixels of the file for one of the chart
WIDTH = 640


def save(spec: Spec, path: Path, *, width: float = WIDTH) -> None:
    """width: of a chart that is as wide as a page has room, in pixels of the chart."""
    import vl_convert  # takes half a second

    path.write_bytes(vl_convert.vegalite_to_png(_sized(spec, width), scale=SCALE, allowed_base_urls=[]))


def _sized(spec: Spec, width: float) -> Spec:
    """With numbers for what a page would decide, and a title."""
    sized: dict[str, Any] = {"title": spec["description"], **spec} if "description" in spec else {**spec}
    if sized.get("width") == "container":
        sized.pop("autosize", None)
        sized["width"] = min(width, sized["usermeta"]["widest"] or width)
    if "hconcat" in sized:
        sized["hconcat"] = [_sized(one, width) for one in sized["hconcat"]]
    return sized
