"""DomainAdapter: a classifier of the target from labelled source and unlabelled target images."""

import dataclasses
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Self, Unpack

from dacbn.batch import Batch, TargetBatch
from dacbn.classifier import NotFittedError as NotFittedError
from dacbn.datasets import (
    LabelledLike,
    UnlabelledLike,
    folders_among,
    labelled_files,
    list_domains,
)
from dacbn.exportable_adapter import ExportableAdapter
from dacbn.models import Network
from dacbn.training import (
    AdaptationOptions,
    InterruptedTraining,
    Records,
    RunFolderError,
    StorageError,
    TargetDomain,
    TrainingDomains,
    TrainingState,
    adaptation_config,
    batch_sizes,
    check_batch,
    check_labelled,
    check_needs_source,
    check_start,
    check_without_target,
    choose_device,
    choose_size,
    claim_run,
    create_adaptation_state,
    create_state,
    describe_decisions,
    holds_network,
    is_finished,
    log_probe,
    memory_watched,
    num_sources,
    pin_weights,
    read_records,
    read_run_info,
    run_held_out,
    save_checkpoint,
    save_network,
    start_from_probe,
    start_network,
    train,
    use_features,
    write_run_info,
)
from dacbn.training.run_info import IN_MEMORY
from dacbn.training.setting_groups import NO_TARGET

LOG = logging.getLogger(__name__)


class DomainAdapter(ExportableAdapter):
    """A classifier trained on labelled source images for unlabelled target images.

    Args:
        backbone: "digits_cnn", the name of any timm model with BatchNorm, or a module of yours from
            images (B, 3, S, S) to features (B, D). A module is copied and not changed; pixels are
            standardised by `pixel_mean` and `pixel_std` if given, else by its `pretrained_cfg`,
            else as for ImageNet.
        norm: replaces its BatchNorms, e.g. "ucb_norm" or "ucb_norm(num_clusters=5)"; None keeps
            them, which is the default for pretrained weights.
        method: adaptation method, e.g. "dann" or "dann(weight=0.1)"; the default is dann, and
            "mcc + dann" for pretrained weights.
        options: any other field of `TrainConfig`, such as `steps`, `lr`, `seed` or `device`.

    Raises:
        ValueError: an option, norm or method is unknown (the text suggests the most similar), or
            its value cannot work.
        OwnModuleError: the module does not return features (B, D).

    Attributes:
        config: the settings.
        network: the trained `Network`; `network.backbone` is a module without dacbn's head.
        classes: class names, in the order of the logits.
        records: the rows of metrics.jsonl, as dictionaries.

    Example:
        >>> import numpy as np
        >>> images = np.zeros((8, 32, 32, 3), dtype=np.uint8)
        >>> labels = np.array([0, 1, 2, 3] * 2)
        >>> adapter = DomainAdapter(norm="ucb_norm", method="dann", steps=1, log_every=1)
        >>> adapter.fit((images, labels), images).predict(images).shape
        (8,)
    """

    def fit(
        self,
        source: LabelledLike | Sequence[LabelledLike],
        target: UnlabelledLike | Sequence[UnlabelledLike] | None,
        *,
        source_test: LabelledLike | Sequence[LabelledLike] | None = None,
        target_test: LabelledLike | Sequence[LabelledLike] | None = None,
        target_labelled: LabelledLike | Sequence[LabelledLike] | None = None,
        run: str | Path | None = None,
        resume: bool = False,
    ) -> Self:
        """Train on labelled source and unlabelled target images.

        Labels in `target` are dropped before training; those of `target_labelled` are trained on.
        The test domains are only scored, every `eval_every` steps; they do not influence the
        training.

        Args:
            source: a dataset's name, a folder with one sub-folder per class, a pair (images,
                labels), or a domain; or a list of these, for several sources.
            target: the same, or images without labels; or a list of these, for several targets.
                A list of image files is one target. None trains on the sources alone.
            source_test: labelled source images to score on; a list has one for each source.
            target_test: labelled target images to score on; a list has one for each target. Without
                a target, domains that are never trained on.
            target_labelled: a few labelled target images to train on, for methods that take them
                (source_and_target, mme); a list has one for each target. Those that are files are
                left out of test parts.
            run: folder for checkpoints, records and the trained network; None writes no files.
            resume: continue the training in `run`, if there is one.

        Raises:
            ValueError: the domains or settings do not work; the text gives the reason.
            DivergedError: a loss became infinite or NaN.
            InterruptedTraining: on Ctrl-C or another signal that asks to end, after a checkpoint
                in `run`; the network trained so far can be used to predict.
            FolderInUseError: another process works in `run`.
            StorageError: `run` cannot be written, or its disk is full.
        """
        check_needs_source(self.config)
        config = pin_weights(self.config)
        columns = config.columns
        sources = list_domains(source, columns)
        targets = [] if _is_none(target) else list_domains(target, columns)
        source_tests, target_tests = (
            each if test is same else [] if test is None else list_domains(test, columns)
            for test, same, each in (
                (source_test, source, sources),
                (target_test, target, targets),
            )
        )
        few = [] if target_labelled is None else list_domains(target_labelled, columns)
        config = dataclasses.replace(
            config,
            source=_names(sources),
            target=_names(targets),
            target_labelled=_names(few),
            unseen=() if targets else _names(target_tests),
        )
        check_labelled(config)
        check_without_target(config)
        with claim_run(run, resume, config) as (folder, checkpoint):
            self.config = config
            if folder is not None and checkpoint is None and is_finished(folder):
                return self._take_finished(folder)
            if checkpoint is None and (chosen := describe_decisions(config)):
                LOG.info(chosen)
            if checkpoint is None and self._module is None:
                check_start(config)
            device = choose_device(config.device)
            if folder is not None and checkpoint is not None:
                self._size = read_run_info(folder).image_size
            else:
                self._size = choose_size(config, device, *sources, *targets)
            check_batch(batch_sizes(config), self._size, device)  # before anything of that size
            domains = TrainingDomains.read(
                config, self._size, sources, targets, source_tests, target_tests, few
            )
            self._classes = domains.classes
            self._trained_on = (*folders_among(*sources, *targets), *labelled_files(*few))
            state = create_state(
                config, len(self._classes), self._size, device, checkpoint, self._module
            )
            if config.classifier_start == "probe" and checkpoint is None:
                start_from_probe(
                    *(state.method.network, domains.sources, device, config.seed),
                    num_sources=num_sources(config),
                )
                log_probe(domains.scorer(device), state.method.network)
            if config.train == "head":
                domains = domains.with_features(state.method.network, config, device)
            stream = domains.stream(config, device, state.method.wants_strong_views)
            scorer, count = domains.scorer(device), domains.images_to_evaluate
            self._train(state, stream, scorer, folder, count)
            if held_out := domains.held_out():
                self._keep(run_held_out(state.network, held_out, device), folder)
            return self

    def adapt(
        self,
        target: UnlabelledLike,
        method: str = "shot",
        *,
        target_test: LabelledLike | None = None,
        run: str | Path | None = None,
        resume: bool = False,
        **options: Unpack[AdaptationOptions],
    ) -> Self:
        """Adapt the trained network to unlabelled target images, without the source.

        Options not given are taken from the training. The architecture, classes and image size of
        the network cannot change.

        Args:
            target: a dataset's name, a folder, images, or a domain; labels are dropped.
            method: a source-free method, e.g. "shot" or "shot(weight=0.1)".
            target_test: labelled target images to score on, every `eval_every` steps.
            run: folder for checkpoints, records and the adapted network; not that of the training.
            resume: continue the adaptation in `run`, if there is one.
            options: other fields of `TrainConfig`, such as `steps`, `lr` or `target_batch_size`.

        Raises:
            NotFittedError: there is no trained network to start from.
            ValueError: the target or settings do not work; the text gives the reason.
            DivergedError, InterruptedTraining, FolderInUseError, StorageError: as in `fit`.
        """
        config = adaptation_config(self.config, _names([target])[0], method, dict(options))
        with claim_run(run, resume, config) as (folder, checkpoint):
            if folder is not None and checkpoint is None and is_finished(folder):
                self.config = config
                return self._take_finished(folder)
            if resume and checkpoint is None and self._network is None:
                raise RunFolderError(
                    f"{folder} ended before its first checkpoint: adapt its run again, into the "
                    "same folder"
                )
            start = start_network(self.network, self.config, config) if checkpoint is None else None
            device, classes = choose_device(config.device), self._classes
            check_batch(batch_sizes(config), self._size, device)
            trained_on = tuple(dict.fromkeys((*self._trained_on, *folders_among(target))))
            domain = TargetDomain.read(
                config, self._size, classes, target, target_test, device, trained_on
            )
            state = create_adaptation_state(
                config, len(classes), domain, start, checkpoint, self._module, self._size
            )
            if config.train == "head":
                domain = use_features(state, domain, config.seed)
            self.config, self._trained_on = config, trained_on
            if folder is not None and checkpoint is None:
                # before config.json: what can be resumed then does not need the trained network
                save_checkpoint(folder, state.state_dict())
            stream, count = domain.stream(config), domain.images_to_evaluate
            return self._train(state, stream, domain.scorer(), folder, count)

    def _take_finished(self, folder: Path) -> Self:
        """Load a finished run that has lost its checkpoint."""
        LOG.info("%s is finished, and its weights are whole: there is nothing to train", folder)
        self.records = read_records(folder)
        info = read_run_info(folder)
        self._classes, self._size = info.classes, info.image_size
        self._threshold = info.unknown_threshold
        return self._load(folder, choose_device(self.config.device))

    def _train(
        self,
        state: TrainingState,
        stream: Callable[[int], Iterator[Batch | TargetBatch]],
        scorer: Callable[[Network], dict[str, float]] | None,
        folder: Path | None,
        images_to_evaluate: int,
    ) -> Self:
        if folder is not None:
            write_run_info(folder, self._run_info())
            if state.step and not holds_network(folder, state.network):
                save_network(folder, state.network)  # lost, or of a later step
            LOG.info("writing %s", folder)
        self._keep(None, folder)  # what was held out is of another network
        with Records(folder, state.step, self.config.tensorboard) as records:
            self.records = records.rows
            try:
                with memory_watched(batch_sizes(self.config)):
                    train(state, stream, self.config, records, folder, scorer, images_to_evaluate)
            except (InterruptedTraining, StorageError):
                self._network = state.network.eval()  # of the last step, so that it can be used
                self._take_threshold(None)
                raise
        self._network = state.network.eval()
        self._take_threshold(folder)
        return self


def _is_none(target: object) -> bool:
    """Whether there is no target: None, or the word that the command line has for it."""
    return target is None or (isinstance(target, str | Path) and str(target) == NO_TARGET)


def _names(domains: Sequence[LabelledLike | UnlabelledLike]) -> tuple[str, ...]:
    """Return the names of domains as stored in the config."""
    return tuple(str(data) if isinstance(data, str | Path) else IN_MEMORY for data in domains)
