"""Training: its settings, the one loop, and what a run folder holds."""

from dacbn.training.checkpoint import RunFolderError as RunFolderError
from dacbn.training.checkpoint import StorageError as StorageError
from dacbn.training.checkpoint import load_checkpoint as load_checkpoint
from dacbn.training.checkpoint import load_weights as load_weights
from dacbn.training.checkpoint import read_card as read_card
from dacbn.training.checkpoint import save_network as save_network
from dacbn.training.checkpoint import write_json as write_json
from dacbn.training.config import TrainConfig as TrainConfig
from dacbn.training.config import choose_device as choose_device
from dacbn.training.evaluate import class_accuracies as class_accuracies
from dacbn.training.evaluate import evaluate as evaluate
from dacbn.training.evaluate import run_network as run_network
from dacbn.training.loop import InterruptedTraining as InterruptedTraining
from dacbn.training.loop import train as train
from dacbn.training.records import Records as Records
from dacbn.training.records import read_records as read_records
from dacbn.training.state import TrainingState as TrainingState
from dacbn.training.window import DivergedError as DivergedError
