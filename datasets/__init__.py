"""Load domains from registered datasets, folders or arrays, and stream training batches."""

if __name__ == "datasets":  # Python was started in a checkout: Hugging Face's library is meant
    from dacbn.checkout import import_installed

    import_installed(__name__)

from dacbn.datasets import (  # noqa: F401  # importing a dataset registers it
    color_digits,
    digits,
    mnist,
    mnist_m,
    street_digits,
    svhn,
    usps,
)
from dacbn.datasets.addresses import expand
from dacbn.datasets.arrays import labelled, unlabelled
from dacbn.datasets.catalogue import datasets
from dacbn.datasets.class_sets import (
    UNKNOWN,
    check_one_class_set,
    check_same_classes,
    log_class_set,
    match_classes,
    with_unknown,
)
from dacbn.datasets.every_image import EveryImage, read_every
from dacbn.datasets.features import FeatureViews
from dacbn.datasets.fetching import place_images
from dacbn.datasets.fitting import Fit
from dacbn.datasets.folders import read_files
from dacbn.datasets.given_labels import POSITIONS, kind_of_labels, label_values, to_labels
from dacbn.datasets.images import (
    FileImages,
    Images,
    LabelledImages,
    TensorImages,
    UnlabelledImages,
)
from dacbn.datasets.inputs import (
    LabelledLike,
    ManyImages,
    UnlabelledLike,
    choose_family,
    size_of,
    to_labelled,
    to_unlabelled,
)
from dacbn.datasets.labelled_target import (
    add_labelled,
    labelled_files,
    read_labelled_target,
)
from dacbn.datasets.listing import is_flat_folder, list_images
from dacbn.datasets.load import (
    folders_among,
    load_labelled,
    load_sample,
    load_unlabelled,
    natural_size,
    view_family,
)
from dacbn.datasets.loaders import (
    iterate,
    shuffled_order,
    stream_batches,
    stream_target,
)
from dacbn.datasets.many_files import OnUnreadable
from dacbn.datasets.packed import ImageFile
from dacbn.datasets.several import has_labels, is_unlabelled, list_domains
from dacbn.datasets.streams import ShardStream, is_stream, name_shards, record_place
from dacbn.datasets.trained_domains import (
    TrainedSource,
    TrainedTarget,
    listed,
    order_classes,
    place_domain,
    to_source,
    to_target,
)
from dacbn.datasets.transforms import Family, strong_view, to_float, weak_view

__all__ = [
    "POSITIONS",
    "UNKNOWN",
    "EveryImage",
    "Family",
    "FeatureViews",
    "FileImages",
    "Fit",
    "ImageFile",
    "Images",
    "LabelledImages",
    "LabelledLike",
    "ManyImages",
    "OnUnreadable",
    "ShardStream",
    "TensorImages",
    "TrainedSource",
    "TrainedTarget",
    "UnlabelledImages",
    "UnlabelledLike",
    "add_labelled",
    "check_one_class_set",
    "check_same_classes",
    "choose_family",
    "datasets",
    "expand",
    "folders_among",
    "has_labels",
    "is_flat_folder",
    "is_stream",
    "is_unlabelled",
    "iterate",
    "kind_of_labels",
    "label_values",
    "labelled",
    "labelled_files",
    "list_domains",
    "list_images",
    "listed",
    "load_labelled",
    "load_sample",
    "load_unlabelled",
    "log_class_set",
    "match_classes",
    "name_shards",
    "natural_size",
    "order_classes",
    "place_domain",
    "place_images",
    "read_every",
    "read_files",
    "read_labelled_target",
    "record_place",
    "shuffled_order",
    "size_of",
    "stream_batches",
    "stream_target",
    "strong_view",
    "to_float",
    "to_labelled",
    "to_labels",
    "to_source",
    "to_target",
    "to_unlabelled",
    "unlabelled",
    "view_family",
    "weak_view",
    "with_unknown",
]
