"""Find a Chromium for the browser tests, or install one where that is possible.

    python tools/browser.py          says which one the tests will use, or what to do

Looked for in this order: Chromium or Chrome on the PATH, Playwright's own download, Chrome or Edge where
their installers put them. If none starts, root on Debian gets Debian's package; otherwise Playwright
downloads its own, if its servers can be reached.
"""

import os
import platform
import shutil
import subprocess
import sys

from playwright.sync_api import Error, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ADVICE = {
    "Linux": "sudo apt install chromium (Debian), sudo dnf install chromium (Fedora), or Google Chrome's package",
    "Darwin": "brew install --cask google-chrome",
    "Windows": "install Chrome from https://www.google.com/chrome/",
}


def ways_to_start():
    """Arguments for Playwright's launch(), one dict for each browser that may be there."""
    paths = [shutil.which(name) for name in NAMES]
    return [{"executable_path": path} for path in paths if path] + [
        {},
        {"channel": "chrome"},
        {"channel": "msedge"},
    ]


def find(chromium):
    """The first of ways_to_start() that really starts, or None. `chromium` is Playwright's browser type."""
    for way in ways_to_start():
        try:
            chromium.launch(**way).close()
            return way
        except (
            Error
        ):  # not there, or there and broken: Ubuntu's chromium-browser only asks for snap
            continue


def is_root():
    return hasattr(os, "geteuid") and os.geteuid() == 0


def is_debian():
    return sys.platform == "linux" and platform.freedesktop_os_release().get("ID") == "debian"


def install():
    """Run the commands that may bring a browser, until one succeeds. What they print is shown."""
    playwright = [sys.executable, "-m", "playwright", "install", "chromium"]
    if is_root() and is_debian() and shutil.which("apt-get"):
        print("Installing Debian's chromium ...", flush=True)
        apt = ["apt-get", "-qq", "-o", "Dpkg::Use-Pty=0"]
        quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        subprocess.call([*apt, "update"], env=quiet)
        if not subprocess.call(
            [*apt, "install", "--yes", "--no-install-recommends", "chromium"], env=quiet
        ):
            return
    print("Downloading Playwright's Chromium ...", flush=True)
    subprocess.call(playwright + (["--with-deps"] if is_root() and sys.platform == "linux" else []))


def main():
    with sync_playwright() as playwright:
        found = find(playwright.chromium)
        if found is None:
            install()
            found = find(playwright.chromium)
    if found is None:
        return (
            "The browser tests need Chromium or Chrome: none starts here, and none could be installed.\n"
            f"Install one, then run this again: {ADVICE.get(platform.system(), 'see https://www.chromium.org')}."
        )
    print(
        "Browser for the tests:",
        found.get("executable_path") or found.get("channel") or "Playwright's Chromium",
    )


if __name__ == "__main__":
    sys.exit(main())
