"""Normalisers, one published layer per file, registered by name in `norms`."""

from dacbn.norms.alpha_batch_norm import AlphaBatchNorm as AlphaBatchNorm
from dacbn.norms.auto_dial import AutoDIAL as AutoDIAL
from dacbn.norms.batch_channel_norm import BatchChannelNorm as BatchChannelNorm
from dacbn.norms.batch_instance_norm import BatchInstanceNorm as BatchInstanceNorm
from dacbn.norms.batch_norm import BatchNorm as BatchNorm
from dacbn.norms.bounded_weight_norm import BoundedWeightNorm as BoundedWeightNorm
from dacbn.norms.by_id.context import ClusterContext as ClusterContext
from dacbn.norms.by_id.context import share_context as share_context
from dacbn.norms.by_id.swapped import swap_clusters as swap_clusters
from dacbn.norms.channel_layer_norm import ChannelLayerNorm as ChannelLayerNorm
from dacbn.norms.channel_map import ChannelMap as ChannelMap
from dacbn.norms.channel_map import NoChannelMapError as NoChannelMapError
from dacbn.norms.context_batch_norm import ContextBatchNorm as ContextBatchNorm
from dacbn.norms.contract import Mixture as Mixture
from dacbn.norms.contract import Norm as Norm
from dacbn.norms.contract import norms as norms
from dacbn.norms.contract import weights as weights
from dacbn.norms.controls.gates import FrozenGateNorm as FrozenGateNorm
from dacbn.norms.controls.gates import RandomGateNorm as RandomGateNorm
from dacbn.norms.controls.matched_batch_norm import MatchedBatchNorm as MatchedBatchNorm
from dacbn.norms.domain_specific_batch_norm import (
    DomainSpecificBatchNorm as DomainSpecificBatchNorm,
)
from dacbn.norms.domain_specific_whitening import DomainSpecificWhitening as DomainSpecificWhitening
from dacbn.norms.dynamic_tanh import DynamicTanh as DynamicTanh
from dacbn.norms.folding import fold as fold
from dacbn.norms.following import FollowsStream as FollowsStream
from dacbn.norms.following import following as following
from dacbn.norms.group_norm import GroupNorm as GroupNorm
from dacbn.norms.ibn_norm import IBNNorm as IBNNorm
from dacbn.norms.instance_aware_batch_norm import (
    InstanceAwareBatchNorm as InstanceAwareBatchNorm,
)
from dacbn.norms.instance_norm import InstanceNorm as InstanceNorm
from dacbn.norms.isometric_group_norm import IsometricGroupNorm as IsometricGroupNorm
from dacbn.norms.kalman_norm import KalmanNorm as KalmanNorm
from dacbn.norms.latent_domain_norm import LatentDomainNorm as LatentDomainNorm
from dacbn.norms.layer_norm import LayerNorm as LayerNorm
from dacbn.norms.lp_batch_norm import LpBatchNorm as LpBatchNorm
from dacbn.norms.mean_only_batch_norm import MeanOnlyBatchNorm as MeanOnlyBatchNorm
from dacbn.norms.mixture import operations as operations
from dacbn.norms.mixture_norm import MixtureNorm as MixtureNorm
from dacbn.norms.mode_norm import ModeNorm as ModeNorm
from dacbn.norms.modes import modes_kept as modes_kept
from dacbn.norms.moving_statistics import Statistics as Statistics
from dacbn.norms.moving_statistics import set_statistics as set_statistics
from dacbn.norms.no_norm import NoNorm as NoNorm
from dacbn.norms.prediction_time_batch_norm import (
    PredictionTimeBatchNorm as PredictionTimeBatchNorm,
)
from dacbn.norms.robust_batch_norm import RobustBatchNorm as RobustBatchNorm
from dacbn.norms.running_statistics import frozen_statistics as frozen_statistics
from dacbn.norms.running_statistics import recalibrate as recalibrate
from dacbn.norms.running_statistics import reset_statistics as reset_statistics
from dacbn.norms.scb_norm import SCBNorm as SCBNorm
from dacbn.norms.scb_norm import SCBNormBase as SCBNormBase
from dacbn.norms.self_normalizing import SelfNormalizing as SelfNormalizing
from dacbn.norms.stream_ucb_norm import StreamUCBNorm as StreamUCBNorm
from dacbn.norms.switchable_norm import SwitchableNorm as SwitchableNorm
from dacbn.norms.torchs_batch_norms import shared_batch_norms as shared_batch_norms
from dacbn.norms.trans_norm import TransNorm as TransNorm
from dacbn.norms.uan import UAN as UAN
from dacbn.norms.ucb_norm import UCBNorm as UCBNorm
from dacbn.norms.unmix_norm import UnMixNorm as UnMixNorm
from dacbn.norms.weight_decay import no_weight_decay as no_weight_decay
from dacbn.norms.weight_standardization import WeightStandardization as WeightStandardization
