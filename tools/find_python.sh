#!/bin/sh
# Print the first Python of 3.11 or later that really runs: $PYTHON if it is set, else one of the usual
# names. (A name alone proves nothing: version managers leave names behind that fail.)
[ -n "$PYTHON" ] && set -- "$PYTHON" || set -- python3.13 python3.12 python3.11 python3 python
found=""
for name in "$@"; do
    version=$("$name" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null) || continue
    if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        echo "$name"
        exit 0
    fi
    found="$found $name is $version;"
done

cat >&2 <<END
The course needs Python 3.11, 3.12 or 3.13${PYTHON:+, and PYTHON=$PYTHON is none that runs here}.${found:+ Too old:$found}
  macOS           brew install python@3.13, or the installer from https://www.python.org/downloads/
  Debian, Ubuntu  sudo apt install python3 python3-venv (Debian 12, Ubuntu 24.04 or later)
  Fedora          sudo dnf install python3.13
  conda           conda env create -f environment.yml
If you have one under another name or in another place: make lab PYTHON=its-name
END
exit 1
