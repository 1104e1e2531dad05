#!/usr/bin/env bash
# Builds every guest, from plugins/ and tests/plugins/, to OUT_DIR/NAME.wasm: core modules that carry their WIT, which
# the host makes components of. Does nothing that is already done.
#
#   plugins/build.sh OUT_DIR
#
# What is missing is installed: the wasm target by rustup, or else Debian's compiler and sources of the standard library,
# and clang with lld for the plugin in C. Without root, Debian's packages are unpacked into WEIR_CACHE.
set -euo pipefail

out=${1:?usage: plugins/build.sh OUT_DIR}
root=$(cd "$(dirname "$0")/.." && pwd)
cache=${WEIR_CACHE:-$HOME/.cache/weir}
guests=$cache/guest
packages=$cache/debian
mkdir -p "$out" "$guests"
out=$(cd "$out" && pwd)

say() { echo "plugins: $*" >&2; }

# True if every one of these packages can be had here.
offered() { command -v apt-get >/dev/null && apt-cache show "$@" >/dev/null 2>&1; }

# Installs Debian packages: as root into the system, else with the libraries they need into $packages.
debian() {
    if ! offered "$@"; then
        say "cannot install $*: apt-get does not offer them here; see host/docs/plugins.md for what a build needs"
        exit 1
    fi
    say "installing $*"
    if [ "$(id -u)" = 0 ]; then
        DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" >/dev/null
        return
    fi
    local needed=()
    mapfile -t needed < <(apt-get -s install --no-install-recommends "$@" | awk '$1 == "Inst" { print $2 }')
    mkdir -p "$packages/deb"
    if ! (cd "$packages/deb" && apt-get download -qq "${needed[@]}"); then
        say "failed to download; as root, run: apt-get install --no-install-recommends $*"
        exit 1
    fi
    local package
    for package in "$packages"/deb/*.deb; do
        dpkg -x "$package" "$packages"
    done
    rm -r "$packages/deb"
}

# Makes what `debian` unpacked without root usable.
use_packages() {
    local libraries
    libraries=$(find "$packages/usr/lib" -maxdepth 1 -name '*-linux-gnu' -printf '%p:' 2>/dev/null || true)
    export LD_LIBRARY_PATH="$libraries${LD_LIBRARY_PATH:-}" PATH="$PATH:$packages/usr/bin"
}

rustup_has_target() { rustup target list --installed 2>/dev/null | grep -qx wasm32-unknown-unknown; }

# Where Debian's Rust tools are, if they are: in the system, or unpacked.
debian_rust() {
    local prefix
    for prefix in "" "$packages"; do
        if [ -x "$prefix/usr/bin/rustc" ] && [ -x "$prefix/usr/bin/cargo" ] \
            && [ -d "$prefix/usr/lib/rustlib/src/rust/library" ]; then
            echo "$prefix/usr/bin"
            return
        fi
    done
    return 1
}

# Sets `cargo_build` and its environment. Asks the network for nothing that is there.
rust_tools() {
    unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_RUSTFLAGS
    # SIMD is in every engine that runs components.
    export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS="-Ctarget-feature=+simd128"
    cargo_build=(cargo build)
    if [ "${WEIR_GUEST_TOOLS:-any}" != debian ]; then
        if rustup_has_target; then return; fi
        if ! debian_rust >/dev/null && rustup target add wasm32-unknown-unknown >/dev/null 2>&1; then return; fi
    fi
    debian_rust >/dev/null || debian rustc-web cargo-web rust-web-src
    local tools sysroot host
    tools=$(debian_rust)
    sysroot=$(rustup run stable rustc --print sysroot)
    host=$(rustup run stable rustc -vV | sed -n 's/^host: //p')
    # Debian has no rust-lld; rustup's tool chain does.
    export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=$sysroot/lib/rustlib/$host/bin/rust-lld
    # Compiler and sources must be of one version, and building the standard library is an unstable feature.
    export RUSTC=$tools/rustc RUSTC_BOOTSTRAP=1
    cargo_build=("$tools/cargo" build "-Zbuild-std=std,panic_abort")
}

# Leaves a file that did not change untouched, so that nothing is compiled again because of it.
put() {
    cmp -s "$1" "$2" || install -m 644 "$1" "$2"
}

build_rust() {
    local workspace manifest name
    for workspace in plugins tests/plugins; do
        (cd "$root/$workspace" && "${cargo_build[@]}" --quiet --release --locked \
            --target wasm32-unknown-unknown --target-dir "$guests")
        for manifest in "$root/$workspace"/*/Cargo.toml; do
            name=$(basename "$(dirname "$manifest")")
            put "$guests/wasm32-unknown-unknown/release/${name//-/_}.wasm" "$out/$name.wasm"
        done
    done
}

# The newest clang that has its wasm linker beside it.
clang_with_wasm() {
    local version
    for version in -22 -21 -20 -19 -18 -17 -16 -15 -14 ""; do
        if command -v "clang$version" >/dev/null && command -v "wasm-ld$version" >/dev/null; then
            echo "clang$version"
            return
        fi
    done
    return 1
}

build_c() {
    local source=$root/plugins/tally-c/tally.c world=$root/wit/operator-packed.component-type made=$guests/tally.wasm
    if [ ! "$made" -nt "$source" ] || [ ! "$made" -nt "$world" ]; then
        if ! clang_with_wasm >/dev/null; then
            if offered clang-22 lld-22; then debian clang-22 lld-22; else debian clang lld; fi
        fi
        "$(clang_with_wasm)" --target=wasm32 -ffreestanding -nostdlib -std=c17 -O3 -mbulk-memory -Wall -Wextra -Werror \
            -Wl,--no-entry -Wl,--strip-all -I"$root/wit" "$source" -o "$made"
    fi
    put "$made" "$out/tally.wasm"
}

use_packages
rust_tools
build_rust
build_c
