#!/bin/bash
# Installs the libraries that .NET would need. Like the original, it needs root.

if [ "$(id -u)" -ne 0 ]; then
    echo "Need to run with sudo privilege"
    exit 1
fi
if command -v apt-get >/dev/null; then
    apt-get update -q && apt-get install -y "$(apt-cache pkgnames libicu | grep -E '^libicu[0-9]+$' | sort -V | tail -1)"
elif command -v dnf >/dev/null; then
    dnf install -y libicu
else
    echo "Can't detect current OS type, Please follow instructions to install Dotnet Core 6.0's prerequisites"
    exit 1
fi
