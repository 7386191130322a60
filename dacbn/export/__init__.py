"""Trained networks outside of dacbn, one format per file."""

from dacbn.export.formats import Formats as Formats
from dacbn.export.formats import formats as formats
from dacbn.export.formats import write as write
from dacbn.export.hub_folder import write_hub as write_hub
from dacbn.export.onnx_file import write_onnx as write_onnx
from dacbn.export.timm_layout import write_timm as write_timm
from dacbn.export.torch_program import write_torch as write_torch
