"""Adaptation methods, one published method per file, registered by name in `methods`."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
