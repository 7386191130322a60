"""The registry of backbones that are not timm's: modules from images to features."""

from torch import nn

from dacbn.registry import Registry

own_backbones: Registry[type[nn.Module]] = Registry("backbone", "dacbn.models")
