"""Train every method on several processes and on one, and compare the weights and the losses."""

import dataclasses

import torch

from dacbn.batch import Batch, TargetBatch
from dacbn.datasets import LabelledImages, TensorImages, UnlabelledImages
from dacbn.methods import methods, source_free_methods
from dacbn.processes import sharing, tell_all
from dacbn.spec import Spec
from dacbn.training import TrainConfig
from dacbn.training.assemble import create_state
from dacbn.training.domains import TrainingDomains
from dacbn.training.loop import optimise
from dacbn.training.schedules import create_optimizer
from dacbn.training.several_processes import in_parallel
from dacbn.training.target_only import TargetDomain, create_adaptation_state

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}
CASES = {
    **{name: {} for name in methods},
    **{name: {} for name in source_free_methods},
    "dann(batch_norm=True)": {},
    "cdan(entropy=True)": {},
    "mcc + dann": {},
    "several sources": {"method": "m3sda", "sources": 2},
    "several sources and targets": {"method": "dann", "sources": 2, "targets": 2},
    "adamw": {"method": "cdan", "optimizer": "adamw", "lr": 1e-4, "norm": "layer_norm"},
    "uneven": {"method": "adamatch", "source_batch_size": 3, "target_batch_size": 6},
    "one image": {"method": "dann", "source_batch_size": 1, "target_batch_size": 1},
    "classifier": {"method": "dann", "classifier": (6,), "lr": 1e-3},
    "bottleneck": {"method": "mcd", "bottleneck": 6},
    "id-aware": {"method": "dann", "norm": "domain_specific_batch_norm"},
    "mixture": {"method": "dann", "norm": "ucb_norm(num_clusters=2, assign='sample')"},
}


class Tiny(torch.nn.Module):
    """Two convolutions, each with a BatchNorm, and the mean over positions."""

    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(
            *(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU()),
            *(torch.nn.Conv2d(4, 5, 3, stride=2), torch.nn.BatchNorm2d(5)),
        )

    def forward(self, images):
        """Compute features (B, 5)."""
        return self.layers(images).mean((2, 3))


def images(count, seed):
    generator = torch.Generator().manual_seed(seed)
    return TensorImages(
        torch.randint(256, (count, 3, 16, 16), generator=generator, dtype=torch.uint8)
    )


def labelled(count, seed):
    labels = torch.arange(count) % 3
    return LabelledImages(images(count, seed), labels, ("a", "b", "c"))


def train(case, dtype, steps):
    """Train a case from the same start; return weights and losses by name."""
    options = dict(CASES[case])
    sources, targets = options.pop("sources", 1), options.pop("targets", 1)
    method = Spec(options.pop("method", case))
    source_free = method.names[0] in source_free_methods
    few = any(methods[name].takes_labelled_target for name in method.names if name in methods)
    temperature = {"classifier_temperature": 0.05} if case == "mme" else {}
    settings = {
        **{"norm": "batch_norm", "method": method, "source_batch_size": 4, "lr": 0.01},
        "optimizer": "sgd",
        **{"target_batch_size": 5, "labelled_batch_size": 3, "steps": steps, "device": "cpu"},
        **{"source": ("a",) * sources, "target": ("b",) * targets, "augment": "digits"},
        **({"target_labelled": ("c",)} if few else {}),
        **temperature,
        **options,
    }
    config = TrainConfig.from_options(**settings)
    device, tiny = torch.device("cpu"), Tiny().train()
    target = UnlabelledImages(images(21, 5))
    torch.manual_seed(1)
    tiny = Tiny()
    if source_free:
        plain = dataclasses.replace(config, method=Spec("source_only"))
        trained = create_state(plain, 3, 16, device, backbone=tiny).method.network
        domain = TargetDomain(target, None, "digits", device)
        state = create_adaptation_state(config, 3, domain, trained, backbone=tiny)
        state.method.target = InType(domain, dtype)
        stream = domain.stream(config)
    else:
        domains = TrainingDomains(
            sources=tuple(labelled(20 + number, number) for number in range(sources)),
            targets=(target,) * targets,
            ids=tuple(range(sources + targets)),
            tests=(),
            family="digits",
            labelled=(labelled(6, 9),) if few else (),
        )
        state = create_state(config, 3, 16, device, backbone=tiny)
        stream = domains.stream(config, device, state.method.wants_strong_views)
    state.method.to(dtype).train()
    state.optimizer = create_optimizer(state.method, config)
    losses = {}
    with in_parallel(state.method) as run:
        for batch in stream(0):
            result = run(in_type(batch, dtype), state.step / config.steps)
            optimise(state, result, config)
            found = result.losses.items()
            losses |= {f"{name} {state.step}": each.detach() for name, each in found}
    return {name: each.clone() for name, each in state.method.state_dict().items()} | losses


class InType:
    """All images of a target, in another type."""

    def __init__(self, domain, dtype):
        self.domain, self.dtype = domain, dtype
        self.cluster_id = domain.cluster_id

    def __len__(self):
        return len(self.domain)

    def batches(self):
        """Yield all images."""
        return (batch.to(self.dtype) for batch in self.domain.batches())


def in_type(batch: Batch | TargetBatch, dtype):
    values = batch._asdict().items()
    floats = {name: each.to(dtype) for name, each in values if is_float(each)}
    return batch._replace(**floats)


def is_float(value):
    return isinstance(value, torch.Tensor) and value.is_floating_point()


def walk_methods(rank, steps, dtypes=tuple(TOLERANCE), cases=tuple(CASES)):
    """Train all cases on these processes and on one, and return what differs, by case."""
    wrong, exact = {}, {}
    for case in cases:
        for dtype in dtypes:
            found, wanted = train(case, dtype, steps), {}
            if rank == 0:  # the others have the same weights, as is checked below
                with sharing(None):
                    wanted = train(case, dtype, steps)
            exact = wanted if dtype == torch.float64 else exact
            for name, value in wanted.items():
                scale = exact[name].double().abs().max().clamp_min(1)
                far = (found[name].double() - value.double()).abs().max() / scale
                # float32 may be as wrong as one process itself is, where rounding grows
                own = (value.double() - exact[name].double()).abs().max() / scale
                if not far <= TOLERANCE[dtype] + 2 * own:
                    wrong.setdefault(f"{case} {dtype}", f"{name}: {far:.1e}")
            sums = tell_all({name: each.double().sum().item() for name, each in found.items()})
            if any(each != sums[0] for each in sums):
                wrong[f"{case} {dtype} differs between the processes"] = "weights"
    return wrong
