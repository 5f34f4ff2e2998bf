#!/bin/sh
# Print the first Python of 3.11 or later that really runs: $PYTHON if it is set, else the one in .venv,
# else the usual names. (A name alone proves nothing: version managers leave names behind that fail.)
if [ -n "$PYTHON" ]; then
    set -- "$PYTHON"
else
    set -- .venv/bin/python python3.13 python3.12 python3.11 python3 python
fi

found=""
for name in "$@"; do
    version=$("$name" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null) || continue
    if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        echo "$name"
        exit 0
    fi
    found="$found $name is $version,"
done

exec >&2
if [ -n "$PYTHON" ]; then
    echo "PYTHON=$PYTHON is no Python of 3.11 or later that runs here.${found:+ (${found# } too old.)}"
else
    echo "The course needs Python 3.11, 3.12 or 3.13, and none was found.${found:+ (${found# } too old.)}"
fi
echo "  macOS           brew install python@3.13, or the installer from https://www.python.org/downloads/"
echo "  Debian, Ubuntu  sudo apt install python3 python3-venv (Debian 12, Ubuntu 24.04 or later)"
echo "  Fedora          sudo dnf install python3.13"
echo "  conda           conda env create -f environment.yml"
echo "If you have one under another name or in another place: make lab PYTHON=its-name"
exit 1
