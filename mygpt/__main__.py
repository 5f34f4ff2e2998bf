"""The command line: python -m mygpt text | train | sample.

python -m mygpt train --preset laptop --out runs/mine       (Ctrl-C stops; --resume goes on)
python -m mygpt sample --checkpoint runs/mine/best.pt
torchrun --nproc-per-node 2 -m mygpt train --preset laptop --out runs/two
"""

import argparse
import os
import sys
from dataclasses import replace

import torch
from torch import distributed

from mygpt.checkpoints import load_model
from mygpt.files import DATA
from mygpt.machine import PRECISIONS, best_device, processes, rank, resolve_precision
from mygpt.text import TextUnavailable, load_text
from mygpt.train import PRESETS, Interrupted, train
from mygpt_helpers import GPT, CharTokenizer, split


def text_command(args):
    for name in args.names or ["tinyshakespeare"]:
        text = load_text(name)
        lines, kinds = len(text.splitlines()), len(set(text))
        print(f"{name}: {len(text):,} characters, {kinds} distinct, {lines:,} lines.")


def train_command(args):
    if "RANK" in os.environ:  # torchrun started this process
        distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    device = torch.device(args.device) if args.device else best_device()
    if not {"cuda": torch.cuda, "mps": torch.backends.mps, "cpu": torch.cpu}[
        device.type
    ].is_available():
        raise ValueError(
            f"device is {args.device}: there is none here that PyTorch can use; leave --device out"
        )
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
    model_config, config = PRESETS[args.preset]
    asked = {
        name: getattr(args, name)
        for name in ("steps", "seed", "precision", "batch_size", "learning_rate")
    }
    asked = {name: value for name, value in asked.items() if value is not None}
    if "steps" in asked:
        asked["warmup_steps"] = min(config.warmup_steps, asked["steps"])
    if (
        "learning_rate" in asked and config.min_learning_rate is not None
    ):  # the cosine keeps its shape
        asked["min_learning_rate"] = (
            config.min_learning_rate / config.learning_rate * asked["learning_rate"]
        )
    config = replace(config, **asked)
    text = load_text(args.text)
    tokenizer = CharTokenizer.from_text(text)
    train_data, val_data = split(torch.tensor(tokenizer.encode(text), dtype=torch.uint8))
    torch.manual_seed(config.seed)
    model = GPT(replace(model_config, vocab_size=tokenizer.vocab_size)).to(device)
    torch.manual_seed(config.seed + rank())  # dropout differs between processes
    if rank() == 0:
        precision = resolve_precision(config.precision, device)
        print(
            f"{model.num_parameters():,} parameters, device {device}, {precision}, {processes()} process(es)"
        )
    status = 0
    try:
        history = train(
            model,
            train_data,
            val_data,
            config,
            out=args.out,
            resume=args.resume,
            tokenizer=tokenizer,
        )
    except Interrupted as stopped:
        history, status = stopped.history, 130  # what a shell says of Ctrl-C
        if rank() == 0:
            print(stopped)
    if rank() == 0:
        print(
            f"best validation loss {history.val_loss[history.best]:.4f} at step {history.steps[history.best]}: {args.out}/best.pt"
        )
    if distributed.is_initialized():
        distributed.destroy_process_group()
    if status:
        sys.exit(status)


def sample_command(args):
    model, tokenizer = load_model(args.checkpoint)
    prompt = torch.tensor([tokenizer.encode(args.prompt)])
    generator = torch.Generator().manual_seed(args.seed)
    print(args.prompt, end="")
    settings = dict(
        temperature=args.temperature, top_k=args.top_k, top_p=args.top_p, generator=generator
    )
    for token in model.stream(prompt, args.length, **settings):
        print(tokenizer.decode(token[0]), end="", flush=True)
    print()


def parser():
    parser = argparse.ArgumentParser(description="Train a GPT on Shakespeare, and let it write.")
    commands = parser.add_subparsers(required=True)
    text = commands.add_parser("text", help="prepare a text and say what it holds")
    text.add_argument("names", nargs="*", help="tinyshakespeare (the default) or shakespeare")
    text.set_defaults(run=text_command)
    train = commands.add_parser("train", help="train a preset into a folder")
    train.add_argument("--preset", choices=PRESETS, default="laptop")
    train.add_argument("--out", required=True, help="the folder for checkpoints and history")
    train.add_argument("--resume", action="store_true", help="go on with the run in --out")
    train.add_argument("--text", default="tinyshakespeare", help="tinyshakespeare or shakespeare")
    train.add_argument(
        "--device", choices=["cuda", "mps", "cpu"], help="default: the fastest there is"
    )
    train.add_argument("--precision", choices=["auto", *PRECISIONS], help="default: the preset's")
    for name, kind in (
        ("steps", int),
        ("batch-size", int),
        ("learning-rate", float),
        ("seed", int),
    ):
        train.add_argument(f"--{name}", type=kind, help="default: the preset's")
    train.set_defaults(run=train_command)
    sample = commands.add_parser("sample", help="write text with a trained model")
    sample.add_argument(
        "--checkpoint", default=DATA / "laptop.safetensors", help="a .pt or .safetensors file"
    )
    sample.add_argument("--prompt", default="\n")
    sample.add_argument("--length", type=int, default=500, help="characters to write")
    sample.add_argument("--temperature", type=float, default=1.0)
    sample.add_argument("--top-k", type=int)
    sample.add_argument("--top-p", type=float)
    sample.add_argument("--seed", type=int, default=1337)
    sample.set_defaults(run=sample_command)
    return parser


def main(arguments=None):
    args = parser().parse_args(arguments)
    try:
        args.run(args)
    except (ValueError, OSError, TextUnavailable) as error:
        sys.exit(f"{error}")


if __name__ == "__main__":
    main()
