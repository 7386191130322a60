"""Networks: backbones by name, conversion of their normalisers, and heads."""

from dacbn.models.backbones import create_backbone as create_backbone
from dacbn.models.backbones import trained_size as trained_size
from dacbn.models.convert import ConversionReport as ConversionReport
from dacbn.models.convert import convert_norms as convert_norms
from dacbn.models.convert import resolve_norm as resolve_norm
from dacbn.models.domain_clusters import clusters_for_domains as clusters_for_domains
from dacbn.models.domain_clusters import takes_cluster_ids as takes_cluster_ids
from dacbn.models.domain_clusters import takes_ids as takes_ids
from dacbn.models.freezing import freeze_backbone as freeze_backbone
from dacbn.models.heads import CosineClassifier as CosineClassifier
from dacbn.models.heads import mlp as mlp
from dacbn.models.network import Network as Network
from dacbn.models.network import create_network as create_network
from dacbn.models.own_module import OwnModuleError as OwnModuleError
from dacbn.models.weights_file import PretrainedWeightsError as PretrainedWeightsError
from dacbn.models.with_norm import with_norm as with_norm
