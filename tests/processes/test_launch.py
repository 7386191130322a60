"""What a launcher says of a process, and the lines about what it says wrong."""

import socket
from datetime import timedelta

import pytest
import torch
from torch.distributed.run import get_args_parser

from dacbn.processes import Launched, LostProcessError, leads, own_rows, rank
from dacbn.processes.launch import _join, _meeting_point
from dacbn.processes.share import share_out
from dacbn.training import TrainConfig, choose_device

SLURM = {
    "SLURM_STEP_ID": "0",
    "SLURM_PROCID": "5",
    "SLURM_NTASKS": "8",
    "SLURM_LOCALID": "1",
    "SLURM_JOB_ID": "7004",
}


@pytest.fixture(autouse=True)
def _no_launcher(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT", *SLURM):
        monkeypatch.delenv(name, raising=False)


def test_a_process_by_itself_leads_and_has_all_rows():
    assert Launched.read() is None
    assert (leads(), rank(), own_rows(7)) == (True, 0, (0, 7))


def test_torchrun_is_read(monkeypatch):
    for name, value in {
        **{"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"},
        **{"TORCHELASTIC_RESTART_COUNT": "2", "TORCHELASTIC_MAX_RESTARTS": "3"},
    }.items():
        monkeypatch.setenv(name, value)
    assert Launched.read() == Launched(3, 4, 1, 2, restarts=2, may_restart=True)
    assert not leads()


def test_slurm_is_read(monkeypatch):
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    assert Launched.read() == Launched(5, 8, 1)


@pytest.mark.parametrize(
    ("nodes", "host"),
    [
        ("node03", "node03"),
        ("node[03-07,12]", "node03"),
        ("node[12,14]", "node12"),
        ("a1,b[2-3]", "a1"),
    ],
)
def test_slurms_processes_meet_on_its_first_machine(monkeypatch, nodes, host):
    monkeypatch.setenv("SLURM_STEP_NODELIST", nodes)
    monkeypatch.setenv("SLURM_JOB_ID", "7004")
    assert _meeting_point() == (host, 29404)


def test_a_port_in_use_is_one_line_with_the_cure(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
        monkeypatch.setenv("MASTER_PORT", str(port))
        with pytest.raises(LostProcessError, match=f"at 127.0.0.1:{port}.*choose another port"):
            _join(Launched(0, 2, 0), torch.device("cpu"), timedelta(seconds=2))


def test_rows_are_shared_out_as_evenly_as_can_be():
    for sizes in ((5, 2), (1,), (0, 3), (8, 8, 8)):
        for count in (1, 2, 3, 4):
            rows = share_out(sizes, count)
            taken = [r for parts in rows.bounds for part in parts for r in range(*part)]
            assert sorted(taken) == list(range(sum(sizes)))
            for number in range(len(sizes)):
                lengths = [stop - start for start, stop in (p[number] for p in rows.bounds)]
                assert max(lengths) - min(lengths) <= 1


def test_no_setting_is_the_beginning_of_an_option_of_torchrun():
    """Torchrun 2.14 reads the words behind the module too: it refuses a beginning as ambiguous."""
    theirs = [word for action in get_args_parser()._actions for word in action.option_strings]
    ours = [f"--{name.replace('_', '-')}" for name in vars(TrainConfig())]
    for option in (*ours, "--output", "--resume"):
        assert not [each for each in theirs if each.startswith(option)], option


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_nccl_without_gpus_says_what_to_choose():
    with pytest.raises(ValueError, match=r"cannot use device .cuda. on this machine"):
        choose_device("cuda")
