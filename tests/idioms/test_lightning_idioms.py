"""Lightning's callbacks on converted networks."""

import pytest
import torch
import torch.nn.functional as F
from idioms import AFFINE, IMAGES, MIXTURES, buffers_of, converted, idiom, moved

lightning = pytest.importorskip("lightning.pytorch", reason="needs the package lightning")
pytestmark = pytest.mark.filterwarnings("ignore")  # about workers and loggers
FINETUNING = "Lightning's `BaseFinetuning`"
LABELS = torch.tensor([0, 1, 2, 3])


class Classifier(lightning.LightningModule):
    """A converted network that is trained."""

    def __init__(self, kind):
        super().__init__()
        self.net = converted(kind)

    def training_step(self, batch, _):
        """Return the loss."""
        return F.cross_entropy(self.net(batch[0]), batch[1])

    def configure_optimizers(self):
        """Return SGD."""
        return torch.optim.SGD([each for each in self.parameters() if each.requires_grad], 0.01)


class Freeze(lightning.callbacks.BaseFinetuning):
    """Freezes the first convolution and norm."""

    def __init__(self, train_bn):
        super().__init__()
        self.train_bn = train_bn

    def freeze_before_training(self, module):
        """Freeze."""
        self.freeze(module.net[:2], train_bn=self.train_bn)

    def finetune_function(self, *_):
        """Unfreeze nothing."""


def fit(model, *callbacks, epochs=1, **options):
    data = torch.utils.data.TensorDataset(IMAGES, LABELS)
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        callbacks=list(callbacks),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )
    trainer.fit(model, torch.utils.data.DataLoader(data, batch_size=4))
    return model


@idiom(FINETUNING)
@pytest.mark.parametrize("kind", [*AFFINE, *MIXTURES, "domain_specific_batch_norm"])
@pytest.mark.parametrize("train_bn", [True, False])
def test_frozen_parts_keep_or_train_their_norms_as_asked(kind, train_bn):
    model = Classifier(kind)
    before = buffers_of(model.net[1])
    fit(model, Freeze(train_bn))
    assert model.net[1].weight.requires_grad is train_bn
    assert not model.net[0].weight.requires_grad
    names = [name for name in moved(model.net[1], before) if not name.endswith("tracked")]
    assert bool(names) is train_bn


@idiom("Lightning's `StochasticWeightAveraging`")
@pytest.mark.parametrize("kind", [*AFFINE, "group_norm", "scb_norm"])
def test_averaged_weights_get_statistics_of_their_own(kind):
    average = lightning.callbacks.StochasticWeightAveraging(0.01, swa_epoch_start=1)
    assert fit(Classifier(kind), average, epochs=3).net.eval()(IMAGES).isfinite().all()


@idiom("Lightning's `StochasticWeightAveraging`")
@pytest.mark.parametrize("kind", ["ucb_norm", "mode_norm", "domain_specific_batch_norm"])
def test_statistics_that_it_cannot_reset_are_named(kind):
    average = lightning.callbacks.StochasticWeightAveraging(0.01, swa_epoch_start=1)
    with pytest.raises(RuntimeError, match=r"has no running_mean.*dacbn\.norms\.recalibrate"):
        fit(Classifier(kind), average, epochs=3)


@idiom("Lightning's `sync_batchnorm=True`")
def test_synchronised_statistics_are_refused():
    layers = lightning.plugins.layer_sync if hasattr(lightning.plugins, "layer_sync") else None
    sync = (layers or lightning.plugins).TorchSyncBatchNorm()
    with pytest.raises(RuntimeError, match=r"leave out.*sync_batchnorm=False"):
        sync.apply(Classifier("ucb_norm"))
