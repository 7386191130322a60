"""A classifier with its settings, which can be saved and loaded."""

import logging
from contextlib import suppress
from pathlib import Path
from typing import Any, Self, Unpack

import torch
from torch import Tensor, nn

from dacbn.classifier import Classifier
from dacbn.datasets import LabelledLike, UnlabelledLike
from dacbn.estimates import Estimate, estimate, see
from dacbn.models.own_module import check_given, copy_module, name_module
from dacbn.training import (
    RunFolderError,
    RunInfo,
    TrainConfig,
    TrainingOptions,
    automatic_values,
    build_network,
    check_module,
    check_names,
    choose_device,
    claim,
    decide,
    load_weights,
    parameters_of_settings,
    place_ids,
    read_held_out,
    read_records,
    read_run_info,
    run_held_out,
    save_held_out,
    save_network,
    shows_settings,
    signature_of_settings,
    starting_defaults,
    write_run_info,
)
from dacbn.training.metrics import UNKNOWN_THRESHOLD
from dacbn.training.sure_methods import why_thin
from dacbn.training.target_outputs import Apart, sample_images, save_apart
from dacbn.training.unknown import describe_threshold

LOG = logging.getLogger(__name__)
DEFAULT = "default"  # a norm or method that is not given


class SavedAdapter(Classifier):
    """The settings and storage of a `DomainAdapter`, which documents the arguments."""

    __signature__ = signature_of_settings("backbone", "norm", "method")

    @shows_settings(norm=DEFAULT, method=DEFAULT)
    def __init__(
        self,
        backbone: str | nn.Module = TrainConfig.backbone,
        norm: str | None = DEFAULT,
        method: str = DEFAULT,
        **options: Unpack[TrainingOptions],
    ) -> None:
        super().__init__()
        self._module = None if isinstance(backbone, str) else copy_module(backbone)
        name = backbone if self._module is None else name_module(self._module)
        self._params = {each.name: each.default for each in parameters_of_settings()}
        self._params |= options | {"norm": norm, "method": method}
        self._params["backbone"] = backbone if self._module is None else self._module
        given = {**options, "backbone": name}
        given |= {n: v for n, v in (("norm", norm), ("method", method)) if v != DEFAULT}
        pretrained = bool(options.get("pretrained") or options.get("weights"))
        defaults = starting_defaults(pretrained, str(options.get("train")))
        config = TrainConfig.from_options(**{**defaults, **given})
        self._config = self._chosen = decide(config)
        check_names(self._config)
        if self._module is not None:
            check_module(self._module, self._config)
        self.records: list[dict[str, Any]] = []
        self._folder: Path | None = None

    @property
    def config(self) -> TrainConfig:
        """The settings in use: of the trained network, or of the next training."""
        return self._config

    @config.setter
    def config(self, config: TrainConfig) -> None:
        self._config = self._chosen = config
        own = {"backbone"} if self._module is not None else set()
        self._params |= {name: value for name, value in vars(config).items() if name not in own}

    def __repr__(self) -> str:
        """Return the call that makes an adapter of these settings, without the defaults."""
        default = {**vars(TrainConfig()), **automatic_values(self._chosen)}
        shown = ", ".join(
            f"{name}={(str(value) if isinstance(value, Path) else value)!r}"
            for name, value in vars(self._chosen).items()
            if value != default[name]
        )
        return f"{type(self).__name__}({shown})"

    def hold_out(self, *source_tests: LabelledLike) -> Self:
        """Run the network on labelled images of each source, for `label_shift`.

        They are given in the order of the sources, and chosen as by `evaluate`.

        `fit` does so with its `source_test`, and `save_pretrained` keeps the outputs. Call it
        before `recalibrate`: the source has statistics of its own.
        """
        tests = [self.labelled_of(each) for each in source_tests]
        device = next(self.network.parameters()).device
        given = list(zip(tests, place_ids(self.config), strict=False))
        self.held_out = run_held_out(self.network, given, device)
        return self

    def estimate(
        self,
        images: UnlabelledLike,
        cluster_id: int | str | None = None,
        second: Self | None = None,
    ) -> Estimate:
        """Estimate the share of images that are answered rightly, without labels.

        Args:
            images: as in `predict_proba`; at most 2,000 are looked at.
            cluster_id: the domain whose statistics the normalisers use; see `predict_proba`.
            second: a second training that differs by its seed; it makes the estimate better.

        Raises:
            NotFittedError: there is no network yet.
            ValueError: there are no outputs on held-out source images (see `hold_out`), no image
                can be read, or the second training was held out other images.
        """
        if self.held_out is None or (second is not None and second.held_out is None):
            raise ValueError(
                "an estimate needs outputs on held-out source images: call hold_out(source_test)"
            )
        logits = self._logits_of(images, cluster_id)
        other = None
        if second is not None and second.held_out is not None:
            other = second.held_out, second._logits_of(images, cluster_id)
        return estimate(see(self.held_out, logits, other), why_thin(self.config.method))

    def _logits_of(self, images: UnlabelledLike, cluster_id: int | str | None) -> Tensor:
        return self.outputs(sample_images(self.images_of(images)), cluster_id).logits

    def save_pretrained(self, path: str | Path) -> None:
        """Write config.json and model.safetensors into a folder, for `from_pretrained`.

        Raises:
            NotFittedError: there is no network yet.
            FolderInUseError: a training works in the folder.
            StorageError: the folder cannot be written.
        """
        network, folder = self.network, Path(path).absolute()  # also the current folder
        with claim(folder):
            write_run_info(folder, self._run_info())
            save_network(folder, network)
            save_held_out(folder, self.held_out)

    def _run_info(self) -> RunInfo:
        state = self._size, self._trained_on, self._threshold, self._label_kind
        return RunInfo(self.config, self.classes, *state)

    def _take_info(self, info: RunInfo) -> None:
        """Take what a run says of its network, besides the settings."""
        self._classes, self._size, self._trained_on, self._threshold, self._label_kind = (
            *(info.classes, info.image_size, info.trained_on, info.unknown_threshold),
            info.label_kind,
        )

    def _keep(self, apart: Apart, folder: Path | None) -> None:
        """Keep outputs on images apart from the training, also in the run folder."""
        self.held_out, self._folder = apart.held_out, folder
        if folder is not None:
            save_apart(folder, apart)

    def _take_threshold(self, folder: Path | None) -> None:
        """Take the threshold of "unknown" from the last scores, and write it into a folder."""
        found = [row[UNKNOWN_THRESHOLD] for row in self.records if UNKNOWN_THRESHOLD in row]
        self._threshold = found[-1] if found else None
        if found:
            LOG.info(describe_threshold(self.network, found[-1]))
        if found and folder is not None:
            write_run_info(folder, self._run_info())

    @classmethod
    def from_pretrained(
        cls,
        path: str | Path,
        device: str = "auto",
        data_root: Path | None = None,
        backbone: nn.Module | None = None,
    ) -> Self:
        """Load a network that was written by `save_pretrained` or by a training.

        Args:
            path: its folder.
            device: cpu, cuda, or auto.
            data_root: folder of the named datasets; None uses that of the training.
            backbone: a module of the same architecture, if the training was given one.

        Raises:
            RunFolderError: the folder has no config.json or no weights.
            OwnModuleError: the training was given a module, and this was not.
        """
        adapter = cls.from_run(path, backbone)
        if data_root is not None:
            adapter.set_params(data_root=data_root)
        return adapter._load(Path(path), choose_device(device))

    @classmethod
    def from_run(cls, path: str | Path, backbone: nn.Module | None = None) -> Self:
        """Read the settings of a run, without its weights, to resume it with `fit`.

        Args:
            path: its folder.
            backbone: a module of the same architecture, if the training was given one.

        Raises:
            RunFolderError: the folder is no run folder.
            OwnModuleError: the training was given a module, and this was not, or the reverse.
        """
        info = read_run_info(Path(path))
        check_given(info.config.backbone, backbone, str(path))
        settings = vars(info.config) | ({} if backbone is None else {"backbone": backbone})
        adapter = cls(**settings)
        adapter._take_info(info)
        return adapter

    def _load(self, folder: Path, device: torch.device) -> Self:
        network = build_network(self.config, len(self.classes), False, self._module, self._size)
        load_weights(folder, network)
        self._network, self._folder = network.to(device).eval(), folder
        self.held_out = read_held_out(folder, len(self.classes))
        with suppress(RunFolderError):  # a network that was saved without training has none
            self.records = read_records(folder)
        return self
