"""Time normalisers, training steps and the loop, each compared with the usual alternative."""

from dacbn.benchmarks.accuracy import benchmark_accuracy as benchmark_accuracy
from dacbn.benchmarks.layers import Row as Row
from dacbn.benchmarks.layers import benchmark_layers as benchmark_layers
from dacbn.benchmarks.loops import benchmark_loops as benchmark_loops
from dacbn.benchmarks.parts import PARTS as PARTS
from dacbn.benchmarks.parts import Part as Part
from dacbn.benchmarks.parts import Settings as Settings
from dacbn.benchmarks.parts import measure as measure
from dacbn.benchmarks.processes import benchmark_processes as benchmark_processes
from dacbn.benchmarks.report import machine as machine
from dacbn.benchmarks.report import table as table
from dacbn.benchmarks.steps import benchmark_steps as benchmark_steps
from dacbn.benchmarks.waiting import benchmark_waiting as benchmark_waiting
