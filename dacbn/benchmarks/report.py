"""Benchmark results as a Markdown table, with the machine that they were measured on."""

import os
import platform
from collections.abc import Iterable
from importlib.metadata import version

import torch

from dacbn.benchmarks.layers import Row
from dacbn.norms.mixture.kernels.choose import kernel_status


def machine(device: str) -> dict[str, str]:
    """Return the hardware and the versions, by name."""
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else _processor()
    return {
        "device": name,
        "threads": str(torch.get_num_threads()),
        "mixtures": ", ".join(kernel_status(device.split(":")[0])),
        "load": f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "timm": version("timm"),
        "dacbn": version("dacbn"),
    }


def table(rows: Iterable[Row]) -> str:
    """Return rows with the same keys as a Markdown table."""
    rows = list(rows)
    if not rows:
        return "nothing was measured"
    headings = [_heading(key) for key in rows[0]]
    lines = [headings, ["---"] * len(headings)]
    lines += [[_cell(key, value) for key, value in row.items()] for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "| "
        + " | ".join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=True))
        + " |"
        for line in lines
    )


def _heading(key: str) -> str:
    units = {"seconds": "ms", "low": "25 %", "high": "75 %", "memory": "peak / input"}
    units["error"] = "error to float64"
    return units.get(key, key.replace("_", " "))


def _cell(key: str, value: object) -> str:
    if key in ("seconds", "low", "high"):
        return "-" if value is None else f"{float(str(value)) * 1000:.3g}"
    if key == "error":
        return "-" if value is None else f"{float(str(value)):.0e}"
    if isinstance(value, float):
        return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"
    return str(value)


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(line for line in lines if "model name" in line).split(":")[1].strip()
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
