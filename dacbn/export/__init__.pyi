from .formats import Formats as Formats
from .formats import formats as formats
from .formats import write as write
from .hub_folder import write_hub as write_hub
from .onnx_file import write_onnx as write_onnx
from .timm_layout import write_timm as write_timm
from .torch_program import write_torch as write_torch
