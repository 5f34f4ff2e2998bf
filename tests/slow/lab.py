"""JupyterLab as a student has it, on a copy of the course; and what a student does in it, in steps.

The steps act as a person does, through menus, mouse and keys, and read what the page shows.
"""

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import expect

ROOT = Path(__file__).resolve().parents[2]
IDLE = "Python 3 (ipykernel) | Idle"  # in the status bar
LIMIT = 300_000  # ms for any one thing, on however busy a machine
# Every cell is in the page, not only those near the view: so a test can look at all of them.
SETTINGS = {"@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"}}

# ----------------------------------------------------------------------------- the server


def copy_course(folder):
    """The notebooks, modules and data of this checkout in a new folder, which the tests may change."""
    shutil.copytree(ROOT / "notebooks", folder / "notebooks", ignore=shutil.ignore_patterns(".*"))
    shutil.copytree(ROOT / "data", folder / "data", ignore=shutil.ignore_patterns("*.part"))
    shutil.copytree(ROOT / "mygpt", folder / "mygpt", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "mygpt_helpers.py", folder)


def private_environment(folder, course):
    """Nothing of the user's own settings or runs is read or changed, and the copied modules are imported."""
    (folder / "config" / "labconfig").mkdir(parents=True)
    settings = folder / "config" / "labconfig" / "default_setting_overrides.json"
    settings.write_text(json.dumps(SETTINGS), encoding="utf-8")
    folders = {
        name: str(folder / name.lower())
        for name in (
            "JUPYTERLAB_SETTINGS_DIR",
            "JUPYTERLAB_WORKSPACES_DIR",
            "JUPYTER_RUNTIME_DIR",
            "JUPYTER_DATA_DIR",
            "IPYTHONDIR",
            "MYGPT_RUNS",
        )
    }
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("JUPYTER", "MYGPT_DATA"))
    }
    ours = {
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "PYTHONPATH": str(course),
        "MYGPT_SPEED": "smoke",
    }
    return {"OMP_NUM_THREADS": "1"} | kept | folders | ours


@contextmanager
def running_lab(folder, log):
    """JupyterLab on a copy of the course in `folder`. Yields a Lab."""
    course = folder / "course"
    course.mkdir()
    copy_course(course)
    environment = private_environment(folder, course)
    token = secrets.token_hex(16)
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "-y"]
    command += ["--ServerApp.port=0", f"--IdentityProvider.token={token}"]  # 0: a free port
    with open(log, "w", encoding="utf-8") as file:
        server = subprocess.Popen(command, cwd=course, env=environment, stdout=file, stderr=file)
        try:
            yield Lab(address(server, folder / "jupyter_runtime_dir", log), token, course)
        finally:
            server.terminate()  # and with it the kernels
            server.wait(60)


def address(server, runtime, log):
    """The address that the server wrote down when it was ready."""
    for _ in range(3000):
        for path in runtime.glob("jpserver-*.json"):
            try:
                return json.loads(path.read_text(encoding="utf-8"))["url"]
            except ValueError:  # half written
                pass
        if server.poll() is not None:
            break
        time.sleep(0.1)
    raise RuntimeError(f"JupyterLab did not start: {log.read_text(encoding='utf-8')[-2000:]}")


class Lab:
    """A running server. `course` is the folder that it shows."""

    def __init__(self, url, token, course):
        self.url, self.token, self.course = url, token, course

    def open(self, page, name):
        """Open notebooks/name in a fresh workspace, and wait until its kernel is ready."""
        page.goto(f"{self.url}lab/tree/notebooks/{name}?reset&token={self.token}")
        wait_until_idle(page)

    def stop_kernels(self, page):
        """So that the next notebook has the machine for itself."""
        said = {"Authorization": f"token {self.token}"}
        for kernel in page.request.get(f"{self.url}api/kernels", headers=said).json():
            page.request.delete(f"{self.url}api/kernels/{kernel['id']}", headers=said)


# ----------------------------------------------------------------------------- steps in a notebook

CELL = ".jp-Notebook .jp-CodeCell"
OUTPUT = f"{CELL} .jp-OutputArea-output"
TROUBLE = f"{OUTPUT}[data-mime-type='application/vnd.jupyter.stderr']"  # tracebacks and warnings, both red
# A cell that waits or runs has the prompt [*]; one that a failure before it kept from running has [ ] again.
ENDED = f"""() => {{
    const prompts = [...document.querySelectorAll("{CELL} .jp-InputPrompt")].map(prompt => prompt.textContent);
    return prompts.some(prompt => /\\d/.test(prompt)) && !prompts.some(prompt => prompt.includes("*"));
}}"""


def choose(page, menu, item):
    """A command from the menu bar."""
    page.locator(".lm-MenuBar-itemLabel").get_by_text(menu, exact=True).click()
    page.locator(".lm-Menu-itemLabel").get_by_text(item, exact=True).click()


def start_all(page):
    """Clear what was saved, and start all cells."""
    choose(page, "Edit", "Clear Outputs of All Cells")
    expect(page.locator(OUTPUT)).to_have_count(0)
    choose(page, "Run", "Run All Cells")


def finish(page):
    """Wait until no cell waits or runs. Fails on a traceback, a warning, or a cell left out."""
    page.wait_for_function(ENDED, timeout=LIMIT)
    assert page.locator(TROUBLE).all_text_contents() == []
    prompts = page.locator(f"{CELL} .jp-InputPrompt").all_text_contents()  # of a folded cell: ""
    assert prompts == [prompt and f"[{number}]:" for number, prompt in enumerate(prompts, 1)]


def run_all(page):
    start_all(page)
    finish(page)


def wait_until_idle(page):
    expect(page.get_by_text(IDLE)).to_be_visible(timeout=LIMIT)
