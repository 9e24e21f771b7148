"""Charts of what networks did: learning curves, confusion matrix, curves over thresholds, calibration, classes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from harness.charts import spec
from harness.charts.spec import BLUE, GREY, ORANGE, Spec, chart, mark, name, nominal, number, tips
from harness.records import Epoch

Row = Mapping[str, Any]
MOST_NUMBERS = 24  # classes of a confusion matrix; beyond, its cells are too small for numbers
MOST_NAMES = 64  # classes whose names have room beside the matrix
IN_ORDER = 12  # classes; beyond, those that are confused stand together
MOST_CELLS = 6000  # of a matrix: of more, those with the fewest images are left out
MOST_CLASSES = 30  # of the chart of classes
SIDE = 620  # pixels of a large confusion matrix
PARTS = {"train": "training", "validation": "held-out"}
UNIT = {"scale": {"domain": [0, 1]}}  # an axis from 0 to 1


def learning_curve(curves: Mapping[str, Sequence[Sequence[float | None]]], what: str, title: str) -> Spec:
    """Loss or accuracy by epoch, of training and held-out images: mean over the folds, and their spread as a band.

    curves: `train_loss` and the like, each as mean, lowest and highest by epoch; None is left out.
    what: loss or accuracy.
    """
    rows = [
        {"epoch": epoch, "part": said, "mean": mean, "low": low, "high": high}
        for part, said in PARTS.items()
        for epoch, (mean, low, high) in enumerate(zip(*curves[f"{part}_{what}"], strict=True), 1)
        if None not in (mean, low, high)
    ]
    colour = nominal(
        "part", dict(zip(PARTS.values(), (BLUE, ORANGE), strict=True)), legend={"symbolType": "stroke"}
    )
    dash = nominal("part", dict(zip(PARTS.values(), ([6, 4], [1, 0]), strict=True)))
    is_one_epoch = len({row["epoch"] for row in rows}) == 1
    said = tips(
        epoch="epoch",
        part="images",
        mean=("mean of the folds", ".4f"),
        low=("lowest", ".4f"),
        high=("highest", ".4f"),
    )
    clip, y = {"clip": True}, number("mean", what)
    return chart(
        title, height=240, data={"values": rows},
        encoding={"x": number("epoch", axis=spec.whole("epoch"), scale={"nice": False}), "color": colour},
        layer=[
            mark("area", look={"fillOpacity": 0.2, **clip}, y=number("low", what), y2={"field": "high"}),
            mark("line", look={"point": is_one_epoch, **clip}, y=y, strokeDash=dash),
            mark("point", look={"fillOpacity": 0, "size": 160, **clip}, y=y, tooltip=said, params=[spec.zoom("x")]),
        ],
    )  # fmt: skip


def learning_curves(folds: Sequence[Sequence[Epoch]]) -> Spec:
    """Both, as one picture. Of epochs that some folds did not get to, the others are shown."""
    length = max(len(fold) for fold in folds)
    curves = {}
    for key in (f"{part}_{what}" for part in PARTS for what in ("loss", "accuracy")):
        known = [
            [getattr(fold[epoch], key) for fold in folds if epoch < len(fold)] for epoch in range(length)
        ]
        finite = [[value for value in values if np.isfinite(value)] for values in known]
        means = [float(np.mean(values)) if values else None for values in finite]
        curves[key] = [means, *([pick(values, default=None) for values in finite] for pick in (min, max))]
    title = "1 fold" if len(folds) == 1 else f"mean and range of {len(folds)} folds"
    return spec.beside(*(learning_curve(curves, what, f"{what}: {title}") for what in ("loss", "accuracy")))


def confused_together(matrix: np.ndarray) -> list[int]:
    """The classes such that those stand together that are taken for each other: the leaves of a clustering of them."""
    if len(matrix) <= IN_ORDER:
        return list(range(len(matrix)))
    from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering
    from scipy.spatial.distance import squareform

    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    distances = 1 - (shares + shares.T) / 2
    np.fill_diagonal(distances, 0)
    apart = squareform(distances, checks=False)
    return [int(leaf) for leaf in leaves_list(optimal_leaf_ordering(linkage(apart, "average"), apart))]


def confusion(matrix: np.ndarray, classes: Sequence[str], *, of: str = "held-out images") -> Spec:
    """Counts of images, (classes, classes): rows are true, columns predicted; the shade is a row's share.

    of: which images they are.
    """
    number_of, order = len(classes), confused_together(matrix)
    sums, found = np.maximum(matrix.sum(1), 1), matrix[matrix > 0]
    least = np.sort(found)[-MOST_CELLS] if len(found) > MOST_CELLS else 1
    cells = [
        {
            "t": row,
            "p": column,
            "n": int(matrix[row, column]),
            "s": round(float(matrix[row, column] / sums[row]), 4),
        }
        for row, column in zip(*(places.tolist() for places in np.nonzero(matrix >= least)), strict=True)
    ]
    step = float(np.clip(SIDE / number_of, 2.5, 44))
    axis = {
        "labels": number_of <= MOST_NAMES, "labelExpr": spec.cut("names[datum.value]", 22), "labelLimit": 200,
        "labelFontSize": float(np.clip(step - 1, 8, 12)), "labelOverlap": False, "ticks": False, "domain": False,
        "grid": False,
    }  # fmt: skip
    is_short = max(map(len, classes)) < 4 and number_of <= MOST_NUMBERS
    angle = 0 if is_short else -45 if number_of <= MOST_NUMBERS else -90
    scale = {"domain": order, "paddingInner": 0.04 if number_of <= MOST_NAMES else 0}
    both = {"type": "ordinal", "scale": scale}
    x = {
        "field": "p",
        **both,
        "axis": {**axis, "title": "predicted", "labelAngle": angle},
    }
    y = {"field": "t", **both, "axis": {**axis, "title": "true"}}
    shade = number("s", legend=None, scale={"domain": [0, 1], "range": [0.12, 1]})
    said = tips(true="true", called="called", n=("images", ",d"), s=("of the true class", ".1%"))
    layers = [mark("rect", look={"aria": False, "color": BLUE}, fillOpacity=shade, tooltip=said)]
    if number_of <= MOST_NUMBERS:
        size = 12 if number_of <= 15 and matrix.max() < 10_000 else 9
        look = {"fontSize": {"expr": f"narrow ? 8 : {size}"}, "tooltip": None}
        ink = {"condition": {"test": "datum.s > 0.6", "value": "white"}, "value": spec.INSIDE}
        layers.append(mark("text", look=look, text=number("n", format=",d"), color=ink))
    right, total = int(matrix.trace()), int(matrix.sum())
    return chart(
        f"Confusion matrix: {right:,} of {total:,} {of} right ({right / max(total, 1):.1%})",
        height=step * number_of, widest=max(step * number_of + 220, 460), square=180 if number_of <= MOST_NAMES else 40,
        params=[spec.NARROW, {"name": "names", "value": list(classes)}], data={"values": cells},
        transform=[{"calculate": "names[datum.t]", "as": "true"}, {"calculate": "names[datum.p]", "as": "called"}],
        encoding={"x": x, "y": y}, layer=layers,
    )  # fmt: skip


def thresholds(rows: Sequence[Row], across: str, up: str, title: str) -> Spec:
    """A curve for each class, one against the rest.

    rows: class, x and y in 0..1, the threshold `at`, and `step`, the order along the curve.
    """
    classes = list(dict.fromkeys(row["class"] for row in rows))
    colours = {key: spec.MANY[place % len(spec.MANY)] for place, key in enumerate(classes)}
    legend = {"labelExpr": spec.cut("datum.label"), "columns": {"expr": "narrow ? 1 : 2"}}
    said = [*tips(x=(across, ".3f"), y=(up, ".3f"), at=("threshold", ".3f")), nominal("class")]
    return chart(
        title, height=320, widest=640, data={"values": list(rows)}, params=[spec.NARROW],
        encoding={
            "x": number("x", across, **UNIT), "y": number("y", up, **UNIT), "order": number("step"),
            "color": nominal("class", colours, legend=legend),
        },
        layer=[
            mark("line", look={"strokeWidth": 1.8, "clip": True}),
            mark("point", look={"fillOpacity": 0, "clip": True, "aria": False}, tooltip=said,
                 params=[spec.zoom("x", "y")]),
        ],
    )  # fmt: skip


def calibration(bins: Sequence[tuple[float, float, int]]) -> Spec:
    """Accuracy by confidence; the larger a point, the more images; on the dashed line a probability is true.

    bins: mean confidence, accuracy and number of images of each that has any.
    """
    rows = [
        {"confidence": confidence, "accuracy": accuracy, "count": count}
        for confidence, accuracy, count in bins
    ]
    total = max(sum(count for *_, count in bins), 1)
    error = sum(count * abs(accuracy - confidence) for confidence, accuracy, count in bins) / total
    x, y = number("confidence", "confidence", **UNIT), number("accuracy", "accuracy", **UNIT)
    size = number("count", "images", scale={"range": [20, 400]}, legend={"format": ",d", "tickCount": 3})
    said = tips(confidence=("mean confidence", ".3f"), accuracy=("accuracy", ".3f"), count=("images", ",d"))
    ideal = {"strokeDash": [5, 4], "color": GREY}
    return chart(
        f"Calibration: accuracy by confidence, error {error:.3f}", height=320, widest=520, data={"values": rows},
        layer=[
            mark("line", look=ideal, values=[{"at": 0}, {"at": 1}], x={**x, "field": "at"}, y={**y, "field": "at"}),
            mark("line", look={"color": ORANGE}, x=x, y=y),
            mark("point", look={"color": ORANGE}, x=x, y=y, size=size, tooltip=said),
        ],
    )  # fmt: skip


def of_classes(rows: Sequence[Row], title: str) -> Spec:
    """Precision, recall and F1 of each class, the lowest F1 first.   rows: class, images, precision, recall, F1."""
    measures = {"precision": (BLUE, "triangle-right"), "recall": (ORANGE, "circle"), "F1": (GREY, "diamond")}
    long = [
        {"class": row["class"], "images": row["images"], "measure": measure, "value": row[measure]}
        for row in sorted(rows, key=lambda row: float(row["F1"]))[:MOST_CLASSES]
        for measure in measures
    ]
    colour, shape = ({key: look[place] for key, look in measures.items()} for place in (0, 1))
    said = [nominal("class"), *tips(images=("images", ",d"), measure="measure", value=("value", ".4f"))]
    return chart(
        title, height=22 * max(len(rows[:MOST_CLASSES]), 1), data={"values": long}, params=[spec.NARROW],
        encoding={"y": name("class"), "x": number("value", "", scale={"padding": 10})},
        layer=[
            mark("line", look={"color": GREY, "strokeWidth": 1}, detail=nominal("class")),
            mark("point", color=nominal("measure", colour), shape=nominal("measure", shape), tooltip=said),
        ],
    )  # fmt: skip


def importances(shares: Mapping[str, float]) -> Spec:
    """How much of the scores' variation each searched option explains, most important first."""
    rows = [{"name": key, "share": value} for key, value in sorted(shares.items(), key=lambda item: -item[1])]
    scale = {"domain": [0, 1.12 * max([*shares.values(), 0.01])], "nice": False}
    x = number("share", "share of the variation between trials", axis={"format": ".0%"}, scale=scale)
    y = name("name", axis={"ticks": False, "domain": False})
    return chart(
        "Importances of the searched options", height=28 * max(len(rows), 1), data={"values": rows},
        padding={"left": 5, "top": 22, "right": 5, "bottom": 5},  # a page's button does not lie on the first bar
        params=[spec.NARROW], encoding={"x": x, "y": y},
        layer=[
            mark("bar", look={"height": 19}, tooltip=tips(name="option", share=("share", ".1%"))),
            mark("text", look={"align": "left", "dx": 5}, text=number("share", format=".0%")),
        ],
    )  # fmt: skip
