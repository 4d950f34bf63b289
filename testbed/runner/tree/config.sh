#!/bin/bash
# Stand-in runner: checks the machine, saves PATH and some variables to files, then registers or removes the
# runner.

if [ "$(id -u)" -eq 0 ] && [ -z "$RUNNER_ALLOW_RUNASROOT" ]; then
    echo "Must not run with sudo"
    exit 1
fi

root="$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"

if ! command -v ldd >/dev/null; then
    echo "Can not find 'ldd'. Please install 'ldd' and try again."
    exit 1
fi

missing_dependency() {
    echo "$1 is missing for Dotnet Core 6.0"
    echo "Execute sudo ./bin/installdependencies.sh to install any missing Dotnet Core 6.0 dependencies."
    exit 1
}

# Without the library ldd only complains, and that is no error; a library that lacks another one is.
for library in libcoreclr.so libSystem.Security.Cryptography.Native.OpenSsl.so libSystem.IO.Compression.Native.so; do
    if ldd "$root/bin/$library" 2>/dev/null | grep -q 'not found'; then
        missing_dependency "Dependencies"
    fi
done

ldconfig="$(command -v ldconfig || echo /sbin/ldconfig)"
if ! [ -x "$ldconfig" ]; then
    echo "Can not find 'ldconfig'. Please install 'ldconfig' and try again."
    exit 1
fi
if ! "$ldconfig" -NXv 2>/dev/null | grep -q libicu; then
    missing_dependency "Libicu's dependencies"
fi

cd "$root" || exit 1
# shellcheck source=env.sh
source ./env.sh

if [ "${1,,}" = "remove" ]; then
    ./bin/Runner.Listener "$@"
else
    ./bin/Runner.Listener configure "$@"
fi
