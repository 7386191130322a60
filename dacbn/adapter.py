"""DomainAdapter: a classifier of the target from labelled source and unlabelled target images."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self, Unpack, overload

from numpy.typing import ArrayLike
from torch import Tensor

from dacbn.batch import Batch, TargetBatch
from dacbn.classifier import NotFittedError as NotFittedError
from dacbn.datasets import LabelledLike, ManyImages, UnlabelledLike, folders_among, kind_of_labels
from dacbn.given_domains import (
    NOT_GIVEN,
    FitOptions,
    OnEvaluation,
    Sources,
    Targets,
    Tests,
    list_given,
    sort_arguments,
    without_target_labels,
)
from dacbn.processes import lead
from dacbn.streaming_adapter import StreamingAdapter
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
    check_streams,
    check_without_target,
    choose_device,
    choose_size,
    create_adaptation_state,
    create_state,
    describe_decisions,
    holds_network,
    is_finished,
    memory_watched,
    name_given,
    open_run,
    pin_weights,
    read_records,
    read_run_info,
    save_checkpoint,
    save_network,
    start_as_probe,
    start_network,
    train,
    use_features,
    write_run_info,
)
from dacbn.training.right_answers import Scorer, save_right
from dacbn.training.target_outputs import NOTHING_APART

LOG = logging.getLogger(__name__)


class DomainAdapter(StreamingAdapter):
    """A classifier trained on labelled source images for unlabelled target images.

    Args:
        backbone: "digits_cnn", the name of any timm model with BatchNorm, or a module of yours from
            images (B, 3, S, S) to features (B, D). A module is copied and not changed; pixels are
            standardised by `pixel_mean` and `pixel_std` if given, else by its `pretrained_cfg`,
            else as for ImageNet. With `pretrained=True` its weights are fine-tuned as timm's are.
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
        classes: class names, in the order of the logits; `classes_` are the labels as given.
        records: the rows of metrics.jsonl, as dictionaries.

    Example:
        >>> import numpy as np
        >>> images = np.zeros((8, 32, 32, 3), dtype=np.uint8)
        >>> labels = np.array([0, 1, 2, 3] * 2)
        >>> adapter = DomainAdapter(norm="ucb_norm", method="dann", steps=1, log_every=1)
        >>> adapter.fit((images, labels), images).predict(images).shape
        (8,)
    """

    @overload
    def fit(self, source: Sources, target: Targets, **options: Unpack[FitOptions]) -> Self: ...

    @overload
    def fit(
        self,
        images: ManyImages,
        y: ArrayLike | Tensor,
        /,
        *,
        target: Targets = ...,
        **options: Unpack[FitOptions],
    ) -> Self: ...

    def fit(  # type: ignore[misc]  # `y` by position is the target of the first form
        self,
        source: Sources | ManyImages,
        y: Any = NOT_GIVEN,
        *,
        target: Targets = NOT_GIVEN,
        source_test: Tests | None = None,
        target_test: Tests | None = None,
        target_labelled: Sources | None = None,
        run: str | Path | None = None,
        resume: bool = False,
        on_evaluation: OnEvaluation | None = None,
    ) -> Self:
        """Train on labelled source and unlabelled target images.

        Call it as `fit(source, target)` or, as scikit-learn does, `fit(images, labels)`, with the
        target as `target=` or in the settings.

        Labels in `target` are dropped before training; those of `target_labelled` are trained on.
        Test domains are only scored, every `eval_every` steps, and do not influence the training.

        Args:
            source: a dataset's name, a folder with one sub-folder per class, a pair (images,
                labels), a domain, or the address of shards; or a list of these, for several. Of the
                second form, an array, files or pictures.
            y: the target or, of the second form, the labels.
            target: as the source, or images without labels; or a list, for several targets. A list
                of image files is one target. None trains on the sources alone.
            source_test: labelled source images to score on; a list has one for each source, or
                None.
            target_test: labelled target images to score on; a list has one for each target. Without
                a target, domains that are never trained on.
            target_labelled: a few labelled target images to train on, for methods that take them
                (source_and_target, mme); a list has one for each target. Those that are files are
                left out of test parts.
            run: folder for checkpoints, records and the trained network; None writes no files.
            resume: continue the training in `run`, if there is one.
            on_evaluation: called after each evaluation, with the step and the scores that need no
                labels of the target (`records` has all); if it returns True, the training ends.

        Raises:
            ValueError: the domains or settings do not work; the text gives the reason.
            DivergedError: a loss became infinite or NaN.
            InterruptedTraining: on Ctrl-C or another signal that asks to end, after a checkpoint
                in `run`; the network trained so far can be used to predict.
            FolderInUseError: another process works in `run`.
            StorageError: `run` cannot be written, or its disk is full.
        """
        check_needs_source(self._chosen)
        config = pin_weights(self._chosen)
        pair, target = sort_arguments(source, y, target, self._params["target"])
        given = list_given(pair, target, source_test, target_test, target_labelled, config.columns)
        check_streams(config, given.sources, given.targets)
        config = given.named_in(config)
        check_labelled(config)
        check_without_target(config)
        with open_run(run, resume, config) as (device, folder, checkpoint):
            self._config = config
            if run is not None and checkpoint is None and lead(lambda: is_finished(Path(run))):
                return self._take_finished(Path(run))
            if checkpoint is None and (chosen := describe_decisions(config)):
                LOG.info(chosen)
            if checkpoint is None and self._module is None:
                check_start(config)
            if run is not None and checkpoint is not None:
                self._size = lead(lambda: read_run_info(Path(run)).image_size)
            else:
                self._size = choose_size(config, device, *given.sources, *given.targets)
            check_batch(batch_sizes(config), self._size, device)  # before anything of that size
            domains = TrainingDomains.read(config, self._size, *given)
            self._classes, self._label_kind = domains.classes, kind_of_labels(given.sources[0])
            self._trained_on = given.trained_on()
            state = create_state(
                config, len(self._classes), self._size, device, checkpoint, self._module
            )
            first = domains.first_batch(config, device)
            if config.train == "head":
                domains = domains.with_features(state.method.network, config, device)
            if config.classifier_start != "random" and checkpoint is None:
                start_as_probe(state.method.network, domains, config, device, folder)
            stream = domains.stream(config, device, state.method.wants_strong_views)
            scorer, count = domains.scorer(device), domains.images_to_evaluate
            self._train(state, stream, scorer, folder, count, on_evaluation, first)
            self._keep(domains.run_apart(state.network, device), folder)
        return self

    def adapt(
        self,
        target: UnlabelledLike,
        method: str = "shot",
        *,
        target_test: LabelledLike | None = None,
        run: str | Path | None = None,
        resume: bool = False,
        on_evaluation: OnEvaluation | None = None,
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
            on_evaluation: called after each evaluation, as in `fit`.
            options: other fields of `TrainConfig`, such as `steps`, `lr` or `target_batch_size`.

        Raises:
            NotFittedError: there is no trained network to start from.
            ValueError: the target or settings do not work; the text gives the reason.
            DivergedError, InterruptedTraining, FolderInUseError, StorageError: as in `fit`.
        """
        config = adaptation_config(self.config, name_given([target])[0], method, dict(options))
        with open_run(run, resume, config) as (device, folder, checkpoint):
            if run is not None and checkpoint is None and lead(lambda: is_finished(Path(run))):
                self._config = config
                return self._take_finished(Path(run))
            if resume and checkpoint is None and self._network is None:
                raise RunFolderError(
                    f"{run} ended before its first checkpoint: adapt again, into the same folder"
                )
            start = start_network(self.network, self.config, config) if checkpoint is None else None
            check_batch(batch_sizes(config), self._size, device)
            trained_on = tuple(dict.fromkeys((*self._trained_on, *folders_among(target))))
            domain = TargetDomain.read(
                config, self._size, self._classes, target, target_test, device, trained_on
            )
            state = create_adaptation_state(
                config, len(self._classes), domain, start, checkpoint, self._module, self._size
            )
            if config.train == "head":
                domain = use_features(state, domain, config.seed)
            self._config, self._trained_on = config, trained_on
            if run is not None and checkpoint is None:
                right = domain.right(state.network)  # by all processes
                if folder is not None:  # before config.json, so that a resumed one needs no network
                    save_checkpoint(folder, state.state_dict())
                save_right(folder, right, start=True)
            stream, count = domain.stream(config), domain.images_to_evaluate
            return self._train(state, stream, domain.scorer(), folder, count, on_evaluation)

    def _take_finished(self, folder: Path) -> Self:
        """Load a finished run that has lost its checkpoint."""
        LOG.info("%s is finished, and its weights are whole: there is nothing to train", folder)
        self.records = read_records(folder)
        self._take_info(read_run_info(folder))
        return self._load(folder, choose_device(self.config.device))

    def _train(
        self,
        state: TrainingState,
        stream: Callable[[int], Iterator[Batch | TargetBatch]],
        scorer: Scorer | None,
        folder: Path | None,
        count: int,
        on_evaluation: OnEvaluation | None,
        first: Batch | None = None,
    ) -> Self:
        then = without_target_labels(on_evaluation, evaluates=scorer is not None)
        if folder is not None:
            write_run_info(folder, self._run_info())
            if state.step and not holds_network(folder, state.network):
                save_network(folder, state.network)  # lost, or of a later step
            LOG.info("writing %s", folder)
        self._keep(NOTHING_APART, folder)  # what was kept is of another network
        with Records(folder, state.step, self.config.tensorboard, first) as records:
            self.records = records.rows
            try:
                with memory_watched(batch_sizes(self.config)):
                    train(state, stream, self.config, records, folder, scorer, count, then)
            except (InterruptedTraining, StorageError):
                self._network = state.network.eval()  # of the last step, so that it can be used
                self._take_threshold(None)
                raise
        self._network = state.network.eval()
        self._take_threshold(folder)
        save_right(folder, {} if scorer is None else scorer.right)
        return self
