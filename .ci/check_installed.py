"""Check an installed dacbn: it is imported from there, every module imports, all C files compile.

Also writes three images into the folder `images`, for `dacbn predict`.
"""

import importlib
import pkgutil
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import dacbn
from dacbn.norms.mixture.kernels.choose import kernel_status
from dacbn.norms.mixture.kernels.compile_c import load_library
from dacbn.norms.mixture.kernels.cpu import DEFINITIONS, SOURCE

installed = Path(sys.argv[1])
assert Path(dacbn.__file__).is_relative_to(installed), dacbn.__file__

modules = [module.name for module in pkgutil.walk_packages(dacbn.__path__, "dacbn.")]
for name in modules:
    needs_triton = name.startswith("dacbn.norms.mixture.kernels.gpu")
    runs_a_command = name == "dacbn.__main__"
    if not runs_a_command and (find_spec("triton") or not needs_triton):
        module = importlib.import_module(name)
        assert Path(str(module.__file__)).is_relative_to(installed), module.__file__
print(f"{len(modules)} modules in {installed}")

assert SOURCE.is_relative_to(installed), SOURCE
backend, origin = kernel_status()
print(f"{backend}: {origin}")
assert backend == "fused C kernel", origin
bfloat16 = DEFINITIONS[torch.bfloat16]  # where one does not compile, torch computes in silence
for file in SOURCE.parent.glob("*.c"):
    load_library(file, "COMPONENTS=2")
    load_library(file, "COMPONENTS=2", *bfloat16)

Path("images").mkdir()
random = np.random.default_rng(0)
for index in range(3):
    pixels = random.integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(f"images/{index}.png")
