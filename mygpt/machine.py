"""The machine: its device, the precision it is fast in, its processes, and the speed of a notebook."""

import os
from contextlib import contextmanager, nullcontext

import torch
from torch import distributed
from torch.nn.attention import SDPBackend, sdpa_kernel

SPEEDS = ("smoke", "laptop", "gpu")
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def best_device():
    """The fastest device there is: "cuda", "mps" (Apple's GPUs) or "cpu"."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def resolve_precision(precision, device):
    """What "auto" means on this hardware: bf16 where it is fast, fp16 on older GPUs, else fp32."""
    if precision != "auto":
        return precision
    if device.type == "cuda":
        major, _ = torch.cuda.get_device_capability(device)
        return "bf16" if major >= 8 else "fp16" if major >= 7 else "fp32"
    if device.type == "cpu":
        can = getattr(torch.cpu, "get_capabilities", dict)()  # newer than torch 2.9
        return "bf16" if can.get("amx_bf16") or can.get("avx512_bf16") else "fp32"
    return "fp32"


@contextmanager
def mixed_precision(device, precision):
    """Inside, matrix products are made in `precision`; weights, sums and losses stay float32."""
    with torch.autocast(device.type, PRECISIONS[precision], enabled=precision != "fp32"):
        # on a CPU the fused attention is slower in bf16 than its plain form, for windows as short as ours
        plain = device.type == "cpu" and precision == "bf16"
        with sdpa_kernel(SDPBackend.MATH) if plain else nullcontext():
            yield


def processes():
    """How many processes train together: 1, unless torchrun started this one."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank():
    """This process's number among them, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def notebook_speed(smoke, laptop, gpu):
    """The speed this notebook runs at, printed with its expected minutes (the three arguments).

    MYGPT_SPEED decides; without it, "gpu" where CUDA reports capability 8 or more and 8 GB, else
    "laptop". Raises ValueError for another MYGPT_SPEED.
    """
    minutes = dict(zip(SPEEDS, (smoke, laptop, gpu)))
    speed = os.environ.get("MYGPT_SPEED") or default_speed()
    if speed not in minutes:
        raise ValueError(
            f"MYGPT_SPEED is {speed!r}: it must be one of {', '.join(SPEEDS)}, or unset"
        )
    about = "perhaps" if speed == "gpu" else "about"  # that one is an estimate
    print(
        f"speed: {speed}, {about} {minutes[speed]:g} min to run (set MYGPT_SPEED to {', '.join(SPEEDS)} for another)"
    )
    if speed == "smoke":
        print(
            "smoke is for trying out: nothing is learned, so figures and numbers will not fit the text"
        )
    return speed


def default_speed():
    """ "gpu" on a recent CUDA card with at least 8 GB, else "laptop"."""
    if not torch.cuda.is_available():
        return "laptop"
    card = torch.cuda.get_device_properties(0)
    return "gpu" if card.major >= 8 and card.total_memory >= 8e9 else "laptop"
