"""The wide residual network of the semi-supervised and AdaMatch experiments, WRN-28-2.

Paper: Zagoruyko and Komodakis, "Wide Residual Networks", BMVC 2016,
https://arxiv.org/abs/1605.07146, in the variant of AdaMatch's authors: pre-activation blocks,
LeakyReLU with slope 0.1, and BatchNorm momentum 0.001.
Differs from the paper: LeakyReLU instead of ReLU, and that momentum; no dropout.
"""

from types import MappingProxyType

from torch import Tensor, nn

from dacbn.models.own_backbones import own_backbones

WIDTHS = (32, 64, 128)  # channels of the three stages; twice those of a plain ResNet
BLOCKS = 4  # per stage; n in the depth 6 n + 4
SLOPE = 0.1
MOMENTUM = 0.001


class WideBlock(nn.Module):
    """Pre-activation residual block; the shortcut is a 1x1 convolution if shapes differ.

    Args:
        width_in: number of input channels.
        width: number of output channels.
        stride: stride of the first convolution.
    """

    def __init__(self, width_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.activate = normalise_and_activate(width_in)
        self.convolutions = nn.Sequential(
            convolve(width_in, width, stride), normalise_and_activate(width), convolve(width, width)
        )
        same = width_in == width and stride == 1
        self.skip = None if same else nn.Conv2d(width_in, width, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map x (B, width_in, H, W) to (B, width, H / stride, W / stride)."""
        activated = self.activate(x)
        skipped = x if self.skip is None else self.skip(activated)
        y: Tensor = skipped + self.convolutions(activated)
        return y


@own_backbones.register("wide_resnet28_2")
class WideResNet(nn.Module):
    """Features of small images: (B, 3, S, S) to (B, 128)."""

    head_hidden_size = WIDTHS[-1]
    pretrained_cfg = MappingProxyType({"mean": (0.5,) * 3, "std": (0.5,) * 3})  # as timm has it

    def __init__(self) -> None:
        super().__init__()
        self.first = convolve(3, 16)
        stages, width_in = [], 16
        for number, width in enumerate(WIDTHS):
            blocks = [WideBlock(width_in, width, stride=1 if number == 0 else 2)]
            blocks += [WideBlock(width, width, stride=1) for _ in range(BLOCKS - 1)]
            stages.append(nn.Sequential(*blocks))
            width_in = width
        self.stages = nn.Sequential(*stages)
        self.last = normalise_and_activate(width_in)
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out")

    def forward(self, images: Tensor) -> Tensor:
        """Compute features (B, 128) of images (B, 3, S, S)."""
        features: Tensor = self.pool(self.last(self.stages(self.first(images))))
        return features


def convolve(width_in: int, width: int, stride: int = 1) -> nn.Conv2d:
    """Return a 3x3 convolution layer with padding 1 and no bias."""
    return nn.Conv2d(width_in, width, 3, stride, padding=1, bias=False)


def normalise_and_activate(width: int) -> nn.Sequential:
    """Return a BatchNorm layer followed by a LeakyReLU."""
    return nn.Sequential(nn.BatchNorm2d(width, momentum=MOMENTUM), nn.LeakyReLU(SLOPE))
