"""Find a Chromium for the browser tests, or install one where that is possible.

    python tools/browser.py          says which one the tests will use, or what to do

Looked for in this order: Chromium or Chrome on the PATH, Playwright's own download, Chrome or Edge where
their installers put them. If none starts, root on Debian gets Debian's package. Anybody else gets
Playwright's download, if its servers can be reached.
"""

import os
import platform
import shutil
import subprocess
import sys

from playwright.sync_api import Error, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ADVICE = """\
The browser tests need Chromium or Chrome: none starts here, and none could be installed. Install one, then
run this again:
  Debian    sudo apt install chromium           Fedora   sudo dnf install chromium
  macOS     brew install --cask google-chrome   others   https://www.google.com/chrome/"""


def ways_to_start():
    """Arguments for Playwright's launch(), one dict for each browser that may be there."""
    paths = [{"executable_path": path} for name in NAMES if (path := shutil.which(name))]
    return [*paths, {}, {"channel": "chrome"}, {"channel": "msedge"}]


def find(chromium):
    """The first of ways_to_start() that really starts, or None. `chromium` is Playwright's browser type."""
    for way in ways_to_start():
        try:
            chromium.launch(**way).close()
            return way
        except Error:  # not there, or broken: Ubuntu's chromium-browser only asks for snap
            continue


def install():
    """Run the commands that may bring a browser, until one succeeds. What they print is shown."""
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    is_linux = sys.platform == "linux"
    if is_root and is_linux and platform.freedesktop_os_release().get("ID") == "debian":
        print("Installing Debian's chromium ...", flush=True)
        apt = ["apt-get", "-qq", "-o", "Dpkg::Use-Pty=0"]
        quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        subprocess.call([*apt, "update"], env=quiet)
        packages = ["--yes", "--no-install-recommends", "chromium"]
        if subprocess.call([*apt, "install", *packages], env=quiet) == 0:
            return
    print("Downloading Playwright's Chromium ...", flush=True)
    playwright = [sys.executable, "-m", "playwright", "install", "chromium"]
    subprocess.call(playwright + ["--with-deps"] * (is_root and is_linux))


def main():
    with sync_playwright() as playwright:
        found = find(playwright.chromium)
        if found is None:
            install()
            found = find(playwright.chromium)
    if found is None:
        return ADVICE
    name = found.get("executable_path") or found.get("channel") or "Playwright's Chromium"
    print("Browser for the tests:", name)


if __name__ == "__main__":
    sys.exit(main())
