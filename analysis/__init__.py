"""Analyse runs: `report(run)` makes a whole report, and each part of it is one function.

`compute_…` returns arrays, `plot_…` draws into axes, and `draw_…` saves figures with their arrays
and returns a `Section`. A new analysis is one file, with a decorator (see `analyses`), and one line
here.
"""

from dacbn.analysis.analyses import analyses as analyses
from dacbn.analysis.analyses import comparisons as comparisons
from dacbn.analysis.clusters.compute import compute_clusters as compute_clusters
from dacbn.analysis.clusters.figures import compute_examples as compute_examples
from dacbn.analysis.clusters.figures import plot_classes as plot_classes
from dacbn.analysis.clusters.figures import plot_examples as plot_examples
from dacbn.analysis.clusters.figures import plot_occupancy as plot_occupancy
from dacbn.analysis.clusters.figures import plot_overlap as plot_overlap
from dacbn.analysis.clusters.section import draw_clusters as draw_clusters
from dacbn.analysis.domains.distances import compute_distances as compute_distances
from dacbn.analysis.domains.distances import draw_distances as draw_distances
from dacbn.analysis.domains.distances import plot_distances as plot_distances
from dacbn.analysis.domains.distributions import compute_distributions as compute_distributions
from dacbn.analysis.domains.distributions import draw_distributions as draw_distributions
from dacbn.analysis.domains.distributions import plot_distribution as plot_distribution
from dacbn.analysis.domains.embedding_figures import draw_embeddings as draw_embeddings
from dacbn.analysis.domains.embedding_figures import plot_by_class as plot_by_class
from dacbn.analysis.domains.embedding_figures import plot_by_domain as plot_by_domain
from dacbn.analysis.domains.embedding_sections import draw_features as draw_features
from dacbn.analysis.domains.embedding_sections import draw_layers as draw_layers
from dacbn.analysis.domains.embeddings import compute_embedding as compute_embedding
from dacbn.analysis.domains.embeddings import compute_proxy_distance as compute_proxy_distance
from dacbn.analysis.domains.embeddings import compute_scores as compute_scores
from dacbn.analysis.domains.embeddings import compute_silhouette as compute_silhouette
from dacbn.analysis.domains.embeddings import compute_trust as compute_trust
from dacbn.analysis.domains.views import compute_views as compute_views
from dacbn.analysis.domains.views import draw_views as draw_views
from dacbn.analysis.domains.views import plot_views as plot_views
from dacbn.analysis.mixtures.compute import compute_mixtures as compute_mixtures
from dacbn.analysis.mixtures.movement import compute_movement as compute_movement
from dacbn.analysis.mixtures.movement import draw_movement as draw_movement
from dacbn.analysis.mixtures.movement import plot_movement as plot_movement
from dacbn.analysis.mixtures.section import draw_mixtures as draw_mixtures
from dacbn.analysis.mixtures.section import plot_advantages as plot_advantages
from dacbn.analysis.mixtures.section import plot_bic as plot_bic
from dacbn.analysis.mixtures.section import plot_mixture as plot_mixture
from dacbn.analysis.observe.outputs import DomainOutput as DomainOutput
from dacbn.analysis.observe.outputs import compute_outputs as compute_outputs
from dacbn.analysis.observe.recorder import record as record
from dacbn.analysis.observe.recording import Recording as Recording
from dacbn.analysis.observe.subject import Sample as Sample
from dacbn.analysis.observe.subject import Subject as Subject
from dacbn.analysis.predictions.calibration import compute_reliability as compute_reliability
from dacbn.analysis.predictions.calibration import draw_calibration as draw_calibration
from dacbn.analysis.predictions.calibration import plot_reliability as plot_reliability
from dacbn.analysis.predictions.predictions import compute_balance as compute_balance
from dacbn.analysis.predictions.predictions import compute_confusion as compute_confusion
from dacbn.analysis.predictions.predictions import draw_predictions as draw_predictions
from dacbn.analysis.predictions.predictions import plot_balance as plot_balance
from dacbn.analysis.predictions.predictions import plot_confusion as plot_confusion
from dacbn.analysis.presentation.html import write_report as write_report
from dacbn.analysis.presentation.section import Section as Section
from dacbn.analysis.reports import Report as Report
from dacbn.analysis.reports import report as report
from dacbn.analysis.training.curves import compute_curves as compute_curves
from dacbn.analysis.training.curves import draw_curves as draw_curves
from dacbn.analysis.training.curves import plot_curves as plot_curves
from dacbn.analysis.training.gradients import compute_gradients as compute_gradients
from dacbn.analysis.training.gradients import draw_gradients as draw_gradients
from dacbn.analysis.training.gradients import plot_gradients as plot_gradients
from dacbn.analysis.verdict.comparison import compute_comparison as compute_comparison
from dacbn.analysis.verdict.comparison import draw_comparison as draw_comparison
from dacbn.analysis.verdict.comparison import plot_comparison as plot_comparison
from dacbn.analysis.verdict.evidence import Evidence as Evidence
from dacbn.analysis.verdict.section import draw_verdict as draw_verdict
from dacbn.analysis.verdict.verdict import apply_rules as apply_rules
from dacbn.analysis.verdict.verdict import gather_evidence as gather_evidence
from dacbn.analysis.verdict.verdict import write_verdict as write_verdict
