#!/usr/bin/env bash
# Build a real Ollama for the tests: tests/install_ollama.sh FOLDER puts FOLDER/ollama there.
# Needs Go >= 1.26, gcc, g++, pip, and apt-get where the two header packages are not installed yet.
# Takes 4 to 8 minutes on two cores; a second run with the same FOLDER returns at once.
set -euo pipefail

version=0.24.0 # the last one that is a plain Go program, with llama.cpp inside
miniaudio=1.71
target=${1:?usage: tests/install_ollama.sh FOLDER}

mkdir -p "$target"
target=$(cd "$target" && pwd)
stamp="$target/ollama.built-for"
# Built for this very processor: a copy of it that a cache brings to another one may not run.
wanted="$version $(uname -m) $(grep -m1 -E '^(flags|Features)' /proc/cpuinfo 2>/dev/null | cksum)"

if [[ -x "$target/ollama" && -f "$stamp" && "$(cat "$stamp")" == "$wanted" ]]; then
  echo "ollama $version is there already: $target/ollama"
  exit 0
fi

for tool in go gcc g++ python3; do
  command -v "$tool" >/dev/null || { echo "install_ollama: $tool is needed" >&2; exit 1; }
done

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# Three headers are not in the Go module. Two come from Debian ...
if [[ ! -e /usr/include/nlohmann/json.hpp || ! -e /usr/include/stb/stb_image.h ]]; then
  command -v apt-get >/dev/null || {
    echo "install_ollama: the headers nlohmann/json.hpp and stb/stb_image.h are needed" >&2
    exit 1
  }
  root=()
  [[ $(id -u) == 0 ]] || root=(sudo)
  "${root[@]}" apt-get update -qq
  DEBIAN_FRONTEND=noninteractive "${root[@]}" apt-get install -y -qq \
    nlohmann-json3-dev libstb-dev >/dev/null
fi

# ... and one from a Python source package, of which nothing else is used.
python3 -m pip download --quiet --no-deps --no-binary :all: --dest "$scratch" "miniaudio==$miniaudio"
tar -xf "$scratch"/miniaudio-*.tar.gz -C "$scratch"
# Not in the scratch folder: its path is part of what Go's build cache compares.
headers="$target/ollama.headers"
mkdir -p "$headers/miniaudio"
cp "$scratch"/miniaudio-*/miniaudio/miniaudio.h "$headers/miniaudio/"

# The module lacks the sources of llama.cpp's AMX code, which a processor that has AMX would call.
GOBIN="$scratch/bin" \
CGO_ENABLED=1 \
CGO_CFLAGS="-O3 -march=native" \
CGO_CXXFLAGS="-O3 -march=native" \
CGO_CPPFLAGS="-I$headers -U__AMX_INT8__" \
  go install -trimpath \
  -ldflags "-X=github.com/ollama/ollama/version.Version=$version -s -w" \
  "github.com/ollama/ollama@v$version"

# The stamp goes last: a build that was cut off is never taken for a finished one.
rm -f "$stamp"
mv "$scratch/bin/ollama" "$target/ollama"
printf '%s' "$wanted" >"$stamp"
echo "built $target/ollama"
