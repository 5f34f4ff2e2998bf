"""Folders, and files that are written whole or not at all."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "data"  # what ships with the course


def data_folder() -> Path:
    """Where texts are kept: the environment variable MYGPT_DATA, or the course's data/."""
    return Path(os.environ.get("MYGPT_DATA") or DATA).expanduser()


def runs_folder() -> Path:
    """Where the learner's runs are kept: the environment variable MYGPT_RUNS, or the course's runs/."""
    return Path(os.environ.get("MYGPT_RUNS") or ROOT / "runs").expanduser()


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all, in UTF-8 with Unix newlines; what was there stays until then."""
    content = content.encode("utf-8") if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with open(part, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def write(path, content):
    """A file, whole or not at all. Raises OSError, naming it and the remedy, where that cannot be done."""
    try:
        write_whole(Path(path), content)
    except OSError as error:
        raise OSError(
            error.errno,
            f"{path} could not be written ({error.strerror}); an earlier one there is untouched. "
            f"Make room, or choose another folder, and resume",
        ) from None
