"""The machine: its device, the precision it is fast in, its processes, and the speed of a notebook."""

import os
import re
from contextlib import contextmanager, nullcontext

import torch
from torch import distributed
from torch.nn.attention import SDPBackend, sdpa_kernel

SPEEDS = ("smoke", "laptop", "gpu")
DEVICES = ("cuda", "mps", "cpu")  # the fastest first
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

# ----------------------------------------------------------------------------- device


def best_device(asked=None):
    """The device to compute on: "cuda", "mps" (Apple's GPUs) or "cpu".

    `asked` decides, then the environment variable MYGPT_DEVICE, then which is the fastest that
    works. Raises ValueError for a device that is not one of these, or that does not work here.
    """
    asked = asked or os.environ.get("MYGPT_DEVICE")
    if asked and asked not in DEVICES:
        raise ValueError(f"the device is {asked!r}: it must be one of {', '.join(DEVICES)}")
    if asked and why_not(asked):
        raise ValueError(f"the device {asked!r} cannot be used: {why_not(asked)}. Leave it out")
    if not asked and torch.cuda.is_available() and why_not("cuda"):
        print(f"The GPU is not used: {why_not('cuda')}.")
    return torch.device(asked or next(name for name in DEVICES if not why_not(name)))


def why_not(device):
    """Why PyTorch cannot compute on "cuda", "mps" or "cpu" here, in words. Empty if it can."""
    if device == "cuda" and not torch.cuda.is_available():
        return "PyTorch finds no GPU with CUDA on this machine"
    if device == "cuda" and not has_code_for(
        torch.cuda.get_device_capability(), torch.cuda.get_arch_list()
    ):
        return f"this version of PyTorch has no code for {torch.cuda.get_device_name()}"
    if device == "mps" and not torch.backends.mps.is_available():
        return "PyTorch finds no Apple GPU on this machine"
    if device == "mps" and "RANK" in os.environ:
        return "an Apple GPU cannot be shared by several processes"
    return ""


def has_code_for(capability, built_for):
    """Whether a PyTorch with code for `built_for` runs on a GPU of this compute capability.

    Code for sm_86 runs on capability 8.6 and later ones of the same 8; code for compute_90 is
    translated for 9.0 and everything later. AMD's GPUs have other names, and are believed.

    Example: has_code_for((8, 9), ["sm_80", "sm_90"]) -> True; (6, 1) or (12, 0) -> False
    """
    codes = [re.fullmatch(r"(sm|compute)_(\d+)(\d)", name) for name in built_for]
    codes = [(code[1], (int(code[2]), int(code[3]))) for code in codes if code]
    return not codes or any(
        at_least <= capability and (kind == "compute" or at_least[0] == capability[0])
        for kind, at_least in codes
    )


# ----------------------------------------------------------------------------- precision


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
    if precision == "fp32":
        yield
        return
    # on a CPU the fused attention is slower in bf16 than its plain form, for windows as short as ours
    plain = device.type == "cpu" and precision == "bf16"
    with torch.autocast(device.type, PRECISIONS[precision]):
        with sdpa_kernel(SDPBackend.MATH) if plain else nullcontext():
            yield


# ----------------------------------------------------------------------------- processes


def join_processes(device):
    """Let the processes that torchrun started train together; alone, do nothing.

    On GPUs each takes one of its own. Raises ValueError where there are fewer GPUs than processes.
    """
    if "RANK" not in os.environ:
        return
    if device.type == "cuda":
        here, gpus = int(os.environ["LOCAL_WORLD_SIZE"]), torch.cuda.device_count()
        if here > gpus:
            raise ValueError(
                f"{here} processes need {here} GPUs, and this machine has {gpus}: "
                f"start {gpus}, or train on the CPU (--device cpu)"
            )
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    nccl = device.type == "cuda" and distributed.is_nccl_available()
    distributed.init_process_group("nccl" if nccl else "gloo")


def processes():
    """How many processes train together: 1, unless torchrun started this one."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank():
    """This process's number among them, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


# ----------------------------------------------------------------------------- notebooks


def notebook_speed(smoke, laptop, gpu):
    """The speed this notebook runs at, printed with its expected minutes (the three arguments).

    MYGPT_SPEED decides; without it, "laptop". Raises ValueError for another MYGPT_SPEED.
    """
    minutes = dict(zip(SPEEDS, (smoke, laptop, gpu)))
    speed = os.environ.get("MYGPT_SPEED") or "laptop"
    if speed not in minutes:
        raise ValueError(
            f"MYGPT_SPEED is {speed!r}: it must be one of {', '.join(SPEEDS)}, or unset"
        )
    about = "perhaps" if speed == "gpu" else "about"  # that one is an estimate
    print(
        f"speed: {speed}, {about} {minutes[speed]:g} min to run "
        f"(set MYGPT_SPEED to {', '.join(SPEEDS)} for another)"
    )
    if speed == "smoke":
        print(
            "smoke is for trying out: nothing is learned, so figures and numbers will not fit the text"
        )
    return speed
