"""The command line: python -m mygpt text | train | sample.

python -m mygpt train --preset laptop --out runs/mine       (Ctrl-C stops; --resume goes on)
python -m mygpt train --text my.txt --n-layer 2 --out runs/own
python -m mygpt sample --checkpoint runs/mine --prompt "ROMEO:\\n"
torchrun --nproc-per-node 2 -m mygpt train --preset laptop --out runs/two
"""

import argparse
import os
import re
import sys
from dataclasses import replace

import torch
from torch import distributed

from mygpt.checkpoints import load_model
from mygpt.files import DATA
from mygpt.machine import (
    DEVICES,
    PRECISIONS,
    best_device,
    join_processes,
    processes,
    rank,
    resolve_precision,
)
from mygpt.text import TextUnavailable, load_text
from mygpt.train import PRESETS, Interrupted, train
from mygpt_helpers import GPT, CharTokenizer, encode_text, split

PRESETS_HELP = """presets:
  smoke         a model of 0.03 million parameters, in seconds: to see that everything works
  laptop        0.8 million parameters, 64 characters of context: minutes on a laptop,
                validation loss 1.64 on TinyShakespeare
  gpu           10.7 million parameters, 256 characters of context: for a GPU,
                validation loss 1.47
  gpu_constant  the same model with a constant learning rate of 0.0003
"""
SIZES = {  # option: its type, what it is
    "n_layer": (int, "blocks"),
    "n_head": (int, "heads of attention in a block"),
    "n_embd": (int, "numbers in a token's vector, a multiple of the heads"),
    "block_size": (int, "the longest context, in tokens"),
    "dropout": (float, "share of the numbers that dropout sets to 0"),
}
SETTINGS = {
    "steps": (int, "updates of the weights, in all"),
    "batch_size": (int, "windows in a batch"),
    "learning_rate": (float, "the highest; the final one keeps its ratio to it"),
    "min_learning_rate": (float, "the final one, at the end of a cosine"),
    "warmup_steps": (int, "steps in which the learning rate rises"),
    "weight_decay": (float, "of matrices and embeddings"),
    "beta2": (float, "AdamW's average of squared gradients"),
    "grad_clip": (float, "maximum norm of the gradient"),
    "eval_interval": (int, "steps between evaluations"),
    "patience": (int, "stop after so many evaluations without a better loss"),
    "seed": (int, "of the first weights, the batches and dropout"),
}


def text_command(args):
    for name in args.names or ["tinyshakespeare"]:
        text = load_text(name)
        lines, kinds = len(text.splitlines()), len(set(text))
        print(f"{name}: {len(text):,} characters, {kinds} distinct, {lines:,} lines.")


def train_command(args):
    device = best_device(args.device)
    join_processes(device)
    model_config, config = PRESETS[args.preset]
    asked = {name: value for name, value in vars(args).items() if value is not None}
    model_config = replace(model_config, **{name: asked[name] for name in SIZES if name in asked})
    if "learning_rate" in asked and config.min_learning_rate is not None:
        ratio = config.min_learning_rate / config.learning_rate
        asked.setdefault("min_learning_rate", ratio * args.learning_rate)
    settings = [name for name in (*SETTINGS, "precision") if name in asked]
    config = replace(config, **{name: asked[name] for name in settings})

    text = load_text(args.text)
    tokenizer = CharTokenizer.from_text(text)
    train_data, val_data = split(encode_text(tokenizer, text))
    torch.manual_seed(config.seed)
    model = GPT(replace(model_config, vocab_size=tokenizer.vocab_size)).to(device)
    torch.manual_seed(config.seed + rank())  # dropout differs between processes
    if rank() == 0:
        precision = resolve_precision(config.precision, device)
        print(
            f"{model.num_parameters():,} parameters, device {device}, {precision}, "
            f"{processes()} process(es)"
        )
    options = dict(out=args.out, resume=args.resume, tokenizer=tokenizer)
    status = 0
    try:
        history = train(model, train_data, val_data, config, **options)
    except Interrupted as stopped:
        history, status = stopped.history, 130  # what a shell says of Ctrl-C
        if rank() == 0:
            print(stopped)
    finally:
        if distributed.is_initialized():
            distributed.destroy_process_group()
    if rank() == 0:
        loss, step = history.val_loss[history.best_index], history.steps[history.best_index]
        print(f"best validation loss {loss:.4f} at step {step}: {args.out}/best.pt")
    if status:
        sys.exit(status)


def sample_command(args):
    model, tokenizer = load_model(args.checkpoint)
    prompt = first_prompt(tokenizer) if args.prompt is None else unescaped(args.prompt)
    generator = torch.Generator().manual_seed(args.seed)
    tokens = model.stream(
        torch.tensor([tokenizer.encode(prompt)], dtype=torch.long),
        args.length,
        temperature=args.temperature,
        top_k=args.top_k,
        top_p=args.top_p,
        generator=generator,
    )
    print(prompt, end="")
    for token in tokens:
        print(tokenizer.decode(token[0]), end="", flush=True)
    print()


def unescaped(prompt):
    """The prompt with newlines and tabs in place of \\n and \\t; a backslash itself is \\\\."""
    escapes = {r"\n": "\n", r"\t": "\t", r"\\": "\\"}
    return re.sub(r"\\[nt\\]", lambda found: escapes[found[0]], prompt)


def first_prompt(tokenizer):
    """A newline, or the first character of a vocabulary that has none."""
    try:
        tokenizer.encode("\n")
        return "\n"
    except ValueError:
        return tokenizer.decode([0])


def parser():
    whole = argparse.ArgumentParser(
        "python -m mygpt", description="Train a GPT on Shakespeare or your own text; let it write."
    )
    commands = whole.add_subparsers(required=True, metavar="text | train | sample")

    text = commands.add_parser("text", help="prepare a text and say what it holds")
    text.set_defaults(run=text_command)
    text.add_argument(
        "names",
        nargs="*",
        metavar="TEXT",
        help="tinyshakespeare (the default), shakespeare, or a file of your own",
    )

    train = commands.add_parser(
        "train",
        help="train a model into a folder",
        epilog=PRESETS_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    train.set_defaults(run=train_command)
    train.add_argument("--out", required=True, help="the folder for checkpoints and history")
    train.add_argument(
        "--resume", action="store_true", help="go on with the run in --out, or begin it"
    )
    train.add_argument(
        "--text",
        default="tinyshakespeare",
        help="tinyshakespeare (the default), shakespeare, or a file of your own",
    )
    train.add_argument(
        "--preset", choices=PRESETS, default="laptop", help="see below; laptop is the default"
    )
    train.add_argument(
        "--device", choices=DEVICES, help="default: MYGPT_DEVICE, or the fastest there is"
    )
    train.add_argument(
        "--precision",
        choices=["auto", *PRECISIONS],
        help="of the matrix products; default: auto, what is fast on the device",
    )
    sizes = train.add_argument_group("the model (default: the preset's)")
    settings = train.add_argument_group("its training (default: the preset's)")
    for group, options in ((sizes, SIZES), (settings, SETTINGS)):
        for name, (kind, meaning) in options.items():
            group.add_argument(f"--{name.replace('_', '-')}", type=kind, metavar="N", help=meaning)

    sample = commands.add_parser("sample", help="write text with a trained model")
    sample.set_defaults(run=sample_command)
    sample.add_argument(
        "--checkpoint",
        default=DATA / "laptop.safetensors",
        help="a run's folder, or a .pt or .safetensors file; default: the laptop model of the course",
    )
    sample.add_argument(
        "--prompt", help=r"the text to continue, \n for a newline (the default: a newline)"
    )
    sample.add_argument("--length", type=int, default=500, help="tokens to write (500)")
    sample.add_argument("--temperature", type=float, default=1.0, help="0: the likeliest (1.0)")
    sample.add_argument("--top-k", type=int, help="draw from the k likeliest tokens only")
    sample.add_argument("--top-p", type=float, help="draw from the likeliest, p of all probability")
    sample.add_argument("--seed", type=int, default=1337, help="of what is drawn (1337)")
    return whole


def main(arguments=None):
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a notebook's has not
            stream.reconfigure(errors="replace")  # a ? for what a console cannot show
    try:
        try:
            args = parser().parse_args(arguments)
            args.run(args)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # as in `... | head`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)  # what a shell says of a broken pipe
    except KeyboardInterrupt:
        sys.exit(130)
    except (ValueError, OSError, TextUnavailable) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
