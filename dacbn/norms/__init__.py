"""Normalisers, one published layer a file, found by name in `norms`."""

from dacbn.norms.batch_norm import BatchNorm as BatchNorm
from dacbn.norms.cluster_context import ClusterContext as ClusterContext
from dacbn.norms.cluster_context import share_context as share_context
from dacbn.norms.contract import Norm as Norm
from dacbn.norms.contract import norms as norms
from dacbn.norms.contract import weights as weights
from dacbn.norms.running_statistics import frozen_statistics as frozen_statistics
from dacbn.norms.running_statistics import recalibrate as recalibrate
from dacbn.norms.running_statistics import reset_statistics as reset_statistics
from dacbn.norms.scb_norm import SCBNorm as SCBNorm
from dacbn.norms.scb_norm import SCBNormBase as SCBNormBase
from dacbn.norms.ucb_norm import UCBNorm as UCBNorm
