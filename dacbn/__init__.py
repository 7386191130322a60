"""Domain adaptation with cluster-based normalisation in any timm backbone."""

from importlib.metadata import version

import dacbn.checkout  # noqa: F401  # first: it says what to do if the links are missing
from dacbn.adapter import DomainAdapter as DomainAdapter
from dacbn.models import Network as Network
from dacbn.models import convert_norms as convert_norms
from dacbn.norms import BatchNorm as BatchNorm
from dacbn.norms import SCBNorm as SCBNorm
from dacbn.norms import SCBNormBase as SCBNormBase
from dacbn.norms import UCBNorm as UCBNorm
from dacbn.training import TrainConfig as TrainConfig

__version__ = version("dacbn")
