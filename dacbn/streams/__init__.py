"""Images that arrive in an order, without end, and a network that answers and follows them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
