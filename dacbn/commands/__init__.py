"""The commands of the command line, one per file."""

from dacbn.commands.adapt import adapt as adapt
from dacbn.commands.analyse import analyse as analyse
from dacbn.commands.benchmark import benchmark as benchmark
from dacbn.commands.benchmark_streams import benchmark_streams as benchmark_streams
from dacbn.commands.compare import compare as compare
from dacbn.commands.compare import compare_from as compare_from
from dacbn.commands.default_config import list_flags as list_flags
from dacbn.commands.evaluate import evaluate as evaluate
from dacbn.commands.export import export as export
from dacbn.commands.list_names import list_names as list_names
from dacbn.commands.predict import predict as predict
from dacbn.commands.train import read_defaults as read_defaults
from dacbn.commands.train import train as train
