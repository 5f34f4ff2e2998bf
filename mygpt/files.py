"""Folders, and files that are written whole or not at all."""

import os
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "data"  # what ships with the course


def data_folder() -> Path:
    """Where texts are kept: the environment variable MYGPT_DATA, or the course's data/."""
    return Path(os.environ.get("MYGPT_DATA") or DATA).expanduser()


def runs_folder() -> Path:
    """Where the learner's runs are kept: the environment variable MYGPT_RUNS, or runs/."""
    return Path(os.environ.get("MYGPT_RUNS") or ROOT / "runs").expanduser()


def write_whole(path, content):
    """Write a file whole or not at all: str in UTF-8 with Unix newlines, or bytes.

    What was there before stays until the new file is complete. Missing folders are made.
    Raises OSError, naming the file and the remedy, where it cannot be written.
    """
    path = Path(path)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    content = content.encode("utf-8") if isinstance(content, str) else content
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(part, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # on the disk, before it takes the old one's place
        os.replace(part, path)
    except OSError as error:
        raise OSError(
            f"{path} could not be written ({error.strerror}). What was there before is untouched. "
            f"Make room, or choose another folder that you can write to."
        ) from None
    finally:
        with suppress(OSError):
            part.unlink()
