"""The machine: which device is taken, how processes are joined, which precision and speed."""

import pytest
import torch
from torch import distributed

from mygpt.machine import (
    best_device,
    has_code_for,
    join_processes,
    notebook_speed,
    resolve_precision,
)

WHEEL = ["sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120"]  # what a wheel is built for

# ----------------------------------------------------------------------------- device


@pytest.fixture
def gpu(monkeypatch):
    """gpu(capability, count): this machine has so many GPUs of CUDA. Apple's GPUs are out of sight."""
    monkeypatch.delenv("MYGPT_DEVICE", raising=False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    def pretend(capability, count=1):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: WHEEL)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: capability)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: "GTX 1080")

    return pretend


def test_the_fastest_device_is_taken(monkeypatch, gpu):
    assert best_device().type == "cpu"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert best_device().type == "mps"
    gpu((8, 9))
    assert best_device().type == "cuda"


def test_the_variable_decides_and_whoever_asks_decides_before_it(monkeypatch, gpu):
    gpu((8, 9))
    monkeypatch.setenv("MYGPT_DEVICE", "cpu")
    assert best_device().type == "cpu"
    assert best_device("cuda").type == "cuda"
    monkeypatch.setenv("MYGPT_DEVICE", "gpu")
    with pytest.raises(ValueError, match="'gpu': it must be one of cuda, mps, cpu"):
        best_device()


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_a_device_that_is_not_there_is_refused(gpu, name):
    with pytest.raises(
        ValueError, match=f"{name!r} cannot be used: PyTorch finds no .* GPU|no GPU"
    ):
        best_device(name)


def test_a_gpu_for_which_pytorch_has_no_code_is_passed_over_in_one_sentence(gpu, capsys):
    gpu((6, 1))
    assert best_device().type == "cpu"
    said = capsys.readouterr().out
    assert said == "The GPU is not used: this version of PyTorch has no code for GTX 1080.\n"
    with pytest.raises(ValueError, match="no code for GTX 1080"):
        best_device("cuda")


@pytest.mark.parametrize(
    "capability, built_for, runs",
    [
        ((8, 0), WHEEL, True),
        ((8, 9), WHEEL, True),  # with the code for 8.6
        ((7, 0), WHEEL, False),
        ((6, 1), WHEEL, False),
        ((12, 1), WHEEL, True),
        ((13, 0), WHEEL, False),
        ((13, 0), [*WHEEL, "compute_120"], True),  # translated when it is loaded
        ((6, 1), [*WHEEL, "compute_75"], False),
        ((10, 3), ["sm_100"], True),
        ((9, 0), ["gfx90a", "gfx942"], True),  # AMD's
        ((9, 0), [], True),
    ],
)
def test_which_code_runs_on_which_gpu(capability, built_for, runs):
    assert has_code_for(capability, built_for) == runs


# ----------------------------------------------------------------------------- processes


@pytest.fixture
def torchrun(monkeypatch):
    """torchrun(n): as if it had started n processes on this machine. Gives what was asked of PyTorch."""
    asked = []
    monkeypatch.setattr(distributed, "init_process_group", asked.append)
    monkeypatch.setattr(torch.cuda, "set_device", asked.append)
    for name in ("RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)

    def start(n):
        for name, value in (("RANK", n - 1), ("LOCAL_RANK", n - 1), ("LOCAL_WORLD_SIZE", n)):
            monkeypatch.setenv(name, str(value))
        return asked

    start.asked = asked
    return start


@pytest.mark.parametrize(
    "device, nccl, asked",
    [
        ("cuda", True, [1, "nccl"]),
        ("cuda", False, [1, "gloo"]),  # Windows
        ("cpu", True, ["gloo"]),  # --device cpu on a machine with GPUs
        ("cpu", False, ["gloo"]),
    ],
)
def test_nccl_is_taken_where_it_exists_and_the_device_is_cuda(
    monkeypatch, gpu, torchrun, device, nccl, asked
):
    gpu((8, 9), count=2)
    monkeypatch.setattr(distributed, "is_nccl_available", lambda: nccl)
    torchrun(2)
    join_processes(torch.device(device))
    assert torchrun.asked == asked


def test_a_single_process_joins_nothing(torchrun):
    join_processes(torch.device("cpu"))
    assert torchrun.asked == []


def test_more_processes_than_gpus_are_refused(gpu, torchrun):
    gpu((8, 9), count=2)
    torchrun(3)
    with pytest.raises(
        ValueError, match="3 processes need 3 GPUs.* has 2: start 2, .*--device cpu"
    ):
        join_processes(torch.device("cuda"))
    assert torchrun.asked == []


# ----------------------------------------------------------------------------- mistake 18: precision


@pytest.mark.parametrize(
    "capability, precision",
    [
        ((6, 1), "fp32"),
        ((7, 0), "fp16"),
        ((7, 5), "fp16"),
        ((8, 0), "bf16"),
        ((8, 9), "bf16"),
        ((9, 0), "bf16"),
        ((12, 0), "bf16"),
    ],
)
def test_mistake_18_the_precision_of_a_gpu_goes_by_its_age(monkeypatch, capability, precision):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: capability)
    assert resolve_precision("auto", torch.device("cuda")) == precision
    for asked in ("fp32", "bf16", "fp16"):  # who asks, gets it
        assert resolve_precision(asked, torch.device("cuda")) == asked


@pytest.mark.parametrize(
    "can, precision",
    [
        ({"amx_bf16": True, "avx512_bf16": False}, "bf16"),
        ({"amx_bf16": False, "avx512_bf16": True}, "bf16"),
        ({"amx_bf16": False, "avx512_bf16": False, "avx2": True}, "fp32"),
        ({"neon": True}, "fp32"),
        ({}, "fp32"),
    ],
)
def test_mistake_18_the_precision_of_a_cpu_goes_by_what_it_can(monkeypatch, can, precision):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: can, raising=False)
    assert resolve_precision("auto", torch.device("cpu")) == precision
    assert resolve_precision("auto", torch.device("mps")) == "fp32"
    assert resolve_precision("bf16", torch.device("cpu")) == "bf16"
    monkeypatch.delattr(torch.cpu, "get_capabilities")  # an older torch
    assert resolve_precision("auto", torch.device("cpu")) == "fp32"


# ----------------------------------------------------------------------------- speed


def test_speed_is_what_the_variable_says(monkeypatch, capsys):
    monkeypatch.setenv("MYGPT_SPEED", "smoke")
    assert notebook_speed(smoke=0.1, laptop=4, gpu=2) == "smoke"
    assert "smoke, about 0.1 min" in capsys.readouterr().out
    monkeypatch.setenv("MYGPT_SPEED", "fast")
    with pytest.raises(ValueError, match="'fast'.*smoke, laptop, gpu"):
        notebook_speed(smoke=0.1, laptop=4, gpu=2)


def test_speed_without_the_variable_is_laptop_on_any_machine(monkeypatch, capsys, gpu):
    gpu((9, 0))
    monkeypatch.delenv("MYGPT_SPEED", raising=False)
    assert notebook_speed(smoke=0.1, laptop=4, gpu=2) == "laptop"
    assert "laptop, about 4 min" in capsys.readouterr().out
