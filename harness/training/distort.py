"""Changes to batches of images, each image by an amount of its own.

Every function takes float images (B, C, H, W) in 0..1 and amounts (B,), and returns new images in 0..1. They are
torchvision's operations of the same names on a batch at once, and for each an amount that changes nothing leaves
every bit as it is. Any number of channels works; `saturation` and `hue` need three and leave other images alone.
"""

import torch
from torch.nn import functional as F


def brightness(images: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """0 is black, 1 as it is."""
    return (images * _each(factors)).clamp(0, 1)


def contrast(images: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """0 is the image's mean grey everywhere, 1 as it is."""
    return _blend(images, _grey(images).mean((2, 3), keepdim=True), factors)


def saturation(images: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """0 is grey, 1 as it is."""
    return _blend(images, _grey(images), factors) if images.shape[1] == 3 else images


def hue(images: torch.Tensor, turns: torch.Tensor) -> torch.Tensor:
    """Around the circle of colours by -0.5..0.5 of it; 0 is as it is."""
    if images.shape[1] != 3:
        return images
    red, green, blue = images.unbind(1)
    most = images.amax(1)
    chroma = most - images.amin(1)
    where_most = torch.where(
        most == red,
        green - blue,
        torch.where(most == green, blue - red + 2 * chroma, red - green + 4 * chroma),
    )
    sextant = where_most / torch.where(chroma > 0, chroma, 1.0) + 6 * turns[:, None, None]
    distances = torch.stack([(sextant + offset) % 6 for offset in (5, 3, 1)], 1)
    lacking = torch.minimum(distances, 4 - distances).clamp(0, 1)
    turned = most[:, None] - chroma[:, None] * lacking
    return torch.where(_each(turns) == 0, images, turned)


def sharpness(images: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """0 is blurred, 1 as it is, 2 sharpened; the border of one pixel stays."""
    inner = images[:, :, 1:-1, 1:-1]
    blurred = images.clone()
    blurred[:, :, 1:-1, 1:-1] = (9 * F.avg_pool2d(images, 3, stride=1) + 4 * inner) / 13
    return _blend(images, blurred, factors)


def posterize(images: torch.Tensor, bits: torch.Tensor) -> torch.Tensor:
    """The highest bits of every value, 0 to 8 in whole numbers; 8 is as it is."""
    step = 1 << (8 - _each(bits)).round().long()
    coarse = ((images * 255).round() / step).floor() * step / 255
    return torch.where(step == 1, images, coarse)


def solarize(images: torch.Tensor, thresholds: torch.Tensor) -> torch.Tensor:
    """Values above the threshold become their negative; 1 is as it is."""
    return torch.where(images > _each(thresholds), 1 - images, images)


def autocontrast(images: torch.Tensor, amounts: torch.Tensor) -> torch.Tensor:
    """Each channel stretched from black to white; 0 is as it is, 1 stretched."""
    low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    stretched = torch.where(high > low, (images - low) / (high - low), images)
    return torch.lerp(images, stretched, _each(amounts))


def equalize(images: torch.Tensor, amounts: torch.Tensor) -> torch.Tensor:
    """Each channel's values spread evenly; 0 is as it is, 1 spread. Not for fewer than 256 pixels, as in Pillow."""
    values = (images * 255).round().long().flatten(2)
    planes = torch.arange(values.shape[0] * values.shape[1], device=images.device).view(*values.shape[:2], 1)
    counts = torch.bincount((256 * planes + values).flatten(), minlength=256 * planes.numel())
    counts = counts.view(*values.shape[:2], 256)
    darker = (counts.cumsum(-1) - counts).gather(-1, values)  # for each pixel, how many are
    step = darker.amax(-1, keepdim=True) // 255
    even = ((darker + step // 2) // step.clamp_min(1)).clamp_max(255) / 255
    spread = torch.where(step > 0, even, images.flatten(2)).view(images.shape)
    return torch.lerp(images, spread, _each(amounts))


def move(images: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
    """Bilinear resampling, mirrored at the border. maps: (B, 3, 3), products of `rotation`, `shear`, `translation`."""
    height, width = images.shape[2:]
    below = torch.arange(height, device=images.device)[:, None, None] - (height - 1) / 2
    right = torch.arange(width, device=images.device)[:, None] - (width - 1) / 2
    across, down, shift = maps[:, None, None, :2].unbind(-1)
    sources = across * right + down * below + shift  # (B, H, W, 2)
    grid = sources * torch.tensor([2 / width, 2 / height], device=images.device)
    moved = F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    return moved.clamp(0, 1)


def rotation(degrees: torch.Tensor) -> torch.Tensor:
    """Maps (B, 3, 3) that turn images (B,) degrees to the left about their centre.

    A map leads from where a pixel is to where it came from, in pixels right of and below the image's centre.
    """
    angles, maps = torch.deg2rad(degrees), _unmoved(len(degrees))
    maps[:, 0, 0], maps[:, 0, 1] = angles.cos(), -angles.sin()
    maps[:, 1, 0], maps[:, 1, 1] = angles.sin(), angles.cos()
    return maps


def shear(right: torch.Tensor, down: torch.Tensor) -> torch.Tensor:
    """Maps (B, 3, 3) that push each row to the right, or each column down, in proportion to its distance."""
    maps = _unmoved(len(right))
    maps[:, 0, 1], maps[:, 1, 0] = -right, -down
    return maps


def translation(right: torch.Tensor, down: torch.Tensor) -> torch.Tensor:
    """Maps (B, 3, 3) that shift images by so many pixels."""
    maps = _unmoved(len(right))
    maps[:, 0, 2], maps[:, 1, 2] = -right, -down
    return maps


def cut_out(images: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
    """Zeros, the mean of normalised images, inside boxes (B, 4): top, bottom, left, right, beyond the border too."""
    top, bottom, left, right = boxes[:, :, None].unbind(1)
    rows, columns = (torch.arange(side, device=images.device) for side in images.shape[2:])
    inside_rows = ((rows >= top) & (rows < bottom))[:, None, :, None]
    inside_columns = ((columns >= left) & (columns < right))[:, None, None, :]
    return images.masked_fill(inside_rows & inside_columns, 0.0)


def _blend(images: torch.Tensor, others: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """The others at a factor of 0, the images at 1, beyond them at 2."""
    return (images * _each(factors) + others * (1 - _each(factors))).clamp(0, 1)


def _grey(images: torch.Tensor) -> torch.Tensor:
    """(B, 1, H, W): the luma of colour images, else the mean of the channels."""
    if images.shape[1] != 3:
        return images.mean(1, keepdim=True)
    red, green, blue = images.unbind(1)
    return (0.2989 * red + 0.587 * green + 0.114 * blue)[:, None]


def _each(amounts: torch.Tensor) -> torch.Tensor:
    return amounts[:, None, None, None]


def _unmoved(num_images: int) -> torch.Tensor:
    return torch.eye(3).repeat(num_images, 1, 1)
