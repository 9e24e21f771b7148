"""Plain convolutional network: convolutions with poolings between them, and two dense layers.

The defaults are those of many a first CIFAR-10 network: three convolutions, two poolings.

Source: the usual first network of CIFAR-10 tutorials, e.g. of Keras, without padding.
Parameters: 504,266
"""

from typing import Annotated

from torch import nn

from harness.config.signatures import Between


def build(
    in_channels: int,
    image_size: int,
    num_classes: int,
    *,
    width: Annotated[int, Between(1, 1024)] = 32,
    depth: Annotated[int, Between(1, 8)] = 3,
    dense: Annotated[int, Between(1, 8192)] = 128,
    dropout: Annotated[float, Between(0.0, 0.95)] = 0.25,
) -> nn.Module:
    """`depth` convolutions of width, 2·width and then 4·width channels, then a dense layer; dropout before the last.

    A max-pooling follows the first, third, fifth, … convolution. The convolutions do not pad, except in a network
    whose images would shrink to nothing.
    width: channels of the first convolution. Default: like the others, that of the tutorials.
    depth: convolutions. Default: the tutorials'.   dense: units of the dense layer. Default: the tutorials'.
    dropout: before the last layer. Default: the tutorials'.
    """
    pad = 1 if _final_size(image_size, depth, pad=0) < 1 else 0
    layers: list[nn.Module] = []
    channels = in_channels
    for conv in range(depth):
        wider = width * min(2**conv, 4)
        layers += [nn.Conv2d(channels, wider, 3, padding=pad), nn.ReLU(inplace=True)]
        if conv % 2 == 0:
            layers.append(nn.MaxPool2d(2, ceil_mode=bool(pad)))
        channels = wider
    return nn.Sequential(
        *layers,
        nn.Flatten(),
        nn.Linear(channels * _final_size(image_size, depth, pad=pad) ** 2, dense),
        nn.ReLU(inplace=True),
        nn.Dropout(dropout),
        nn.Linear(dense, num_classes),
    )


def _final_size(size: int, depth: int, *, pad: int) -> int:
    """Of the last convolution's or pooling's output, in pixels; below 1 where nothing would be left."""
    for conv in range(depth):
        size += 2 * pad - 2
        if conv % 2 == 0:
            size = -(-size // 2) if pad else size // 2
    return size
