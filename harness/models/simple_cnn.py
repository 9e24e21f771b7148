"""Plain convolutional network: three convolutions, two poolings, two dense layers.

The defaults have 504,266 parameters on 3×32×32 images of 10 classes, like many a first CIFAR-10 network.
"""

from typing import Annotated

from torch import nn

from harness.catalog import Between


def build(
    in_channels: int,
    image_size: int,
    num_classes: int,
    *,
    width: Annotated[int, Between(1, 1024)] = 32,
    dense: Annotated[int, Between(1, 8192)] = 128,
    dropout: Annotated[float, Between(0.0, 0.95)] = 0.25,
) -> nn.Module:
    """Convolutions of width, 2·width and 4·width channels, then a dense layer; dropout before the last layer.

    The convolutions do not pad, except on images below 14 pixels, which would shrink to nothing.
    """
    pad = 1 if image_size < 14 else 0
    size = image_size - 2 + 2 * pad
    size = _pooled(size, pad) - 4 + 4 * pad
    size = _pooled(size, pad)
    return nn.Sequential(
        nn.Conv2d(in_channels, width, 3, padding=pad),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2, ceil_mode=bool(pad)),
        nn.Conv2d(width, 2 * width, 3, padding=pad),
        nn.ReLU(inplace=True),
        nn.Conv2d(2 * width, 4 * width, 3, padding=pad),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2, ceil_mode=bool(pad)),
        nn.Flatten(),
        nn.Linear(4 * width * size * size, dense),
        nn.ReLU(inplace=True),
        nn.Dropout(dropout),
        nn.Linear(dense, num_classes),
    )


def _pooled(size: int, ceil: int) -> int:
    return -(-size // 2) if ceil else size // 2
