"""Find timm's pretrained weights in the caches of this machine, and fail soon without a network.

Left to itself, huggingface_hub asks the network also for files that it has, and repeats what fails
for most of a minute.
"""

from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import torch

from dacbn.connection import try_to_connect
from dacbn.models.weights_file import PretrainedWeightsError
from dacbn.spelling import spell

SAFE, UNSAFE = "model.safetensors", "pytorch_model.bin"


class Published(NamedTuple):
    """Where timm's weights of a network are published, and where their file belongs here.

    Attributes:
        page: what to download them from.
        host: address that is asked first.
        file: where a file that was copied to this machine is looked for.
        cached: the file, if this machine has it.
        options: how timm reads it.
    """

    page: str
    host: str
    file: Path
    cached: Path | None
    options: dict[str, Any]


def find_published(name: str) -> Published:
    """Find the pretrained weights that timm would load.

    Args:
        name: of a timm model, with or without a tag such as ".a1_in1k".

    Raises:
        PretrainedWeightsError: timm has none.
    """
    import timm

    about = timm.get_pretrained_cfg(name)
    if about is not None and about.hf_hub_id:
        return _on_hub(about.hf_hub_id, about.hf_hub_filename)
    if about is not None and about.url:
        return _at_address(about.url, about.custom_load)
    raise PretrainedWeightsError(
        f"timm has no pretrained weights of {name}: give a file with {spell('weights')}, or train "
        f"without {spell('pretrained', True)}"
    )


def check_reachable(published: Published, name: str) -> None:
    """Try once, and shortly, to connect to where weights are published.

    Raises:
        PretrainedWeightsError: it cannot be reached; the text says which file to place where.
    """
    from huggingface_hub import constants

    offline = constants.HF_HUB_OFFLINE and "huggingface" in published.page
    reason = "HF_HUB_OFFLINE is set" if offline else try_to_connect(published.host)
    if reason is not None:
        raise PretrainedWeightsError(
            f"cannot download the pretrained weights of {name} ({reason}): {cure(published)}"
        )


def cure(published: Published) -> str:
    """Say how to have the weights without a network."""
    return (
        f"copy {published.file.name} from {published.page} to {published.file}, or give a file "
        f"with {spell('weights')}, or train without {spell('pretrained', True)}"
    )


def _on_hub(hub_id: str, filename: str | None) -> Published:
    from huggingface_hub import constants, try_to_load_from_cache

    repository, _, revision = hub_id.partition("@")
    names = [SAFE, UNSAFE] if filename is None else [filename]
    found = [try_to_load_from_cache(repository, each, revision=revision or None) for each in names]
    cached = next((Path(path) for path in found if isinstance(path, str)), None)
    folder = Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"
    commit = revision or "main"
    if (folder / "refs" / commit).is_file():
        commit = (folder / "refs" / commit).read_text()
    return Published(
        f"https://huggingface.co/{repository}",
        constants.ENDPOINT,
        folder / "snapshots" / commit / names[0],
        cached,
        {},
    )


def _at_address(url: str | tuple[str, str], custom: bool) -> Published:
    address, file = (url, Path(urlsplit(url).path).name) if isinstance(url, str) else url
    path = Path(torch.hub.get_dir()) / "checkpoints" / file
    cached = path if path.is_file() else None
    return Published(address, address, path, cached, {"custom_load": custom})
