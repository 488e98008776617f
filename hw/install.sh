#!/usr/bin/env bash
# Installs what keyhole needs on Debian 12 and is not there yet: `hw/install.sh` for building and running,
# `hw/install.sh test` for the tests as well, `hw/install.sh cuda` for the GPU path (1.2 GB more). Run as root or with sudo
# at hand. Safe to run again.
set -euo pipefail
cd "$(dirname "$0")/.."

build=(build-essential pkg-config ca-certificates python3 python3-pip unzip
    libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev)
run=(gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly gstreamer1.0-libav libblas3
    mesa-vulkan-drivers libvulkan1
    libx11-6 libx11-xcb1 libxcb1 libxcursor1 libxi6 libxrandr2 libxkbcommon0 libxkbcommon-x11-0 libwayland-client0)
test=(xvfb xdotool ffmpeg xserver-xorg-core xserver-xorg-video-dummy gstreamer1.0-tools python3-gi gir1.2-gst-rtsp-server-1.0 systemd)

wanted=("${build[@]}" "${run[@]}")
[ "${1:-}" = test ] && wanted+=("${test[@]}")

missing=()
for package in "${wanted[@]}"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
    as_root=""
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || { echo "keyhole: missing packages: ${missing[*]}. Run as root, or install sudo." >&2; exit 2; }
        as_root=sudo
    fi
    echo "keyhole: installing ${missing[*]}"
    $as_root apt-get update -qq
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
    # A plugin that was scanned before its library was there stays blacklisted: scan again.
    rm -f "${XDG_CACHE_HOME:-$HOME/.cache}"/gstreamer-1.0/registry.*.bin
fi

fetched=$(mktemp -d)
trap 'rm -rf "$fetched"' EXIT

version=$(sed -n 's/^onnxruntime==\([0-9.]*\).*/\1/p' hw/onnxruntime.txt)
library=.setup/onnxruntime/libonnxruntime.so.$version
if [ ! -f "$library" ]; then
    case "$(uname -m)" in
        x86_64) platform=manylinux_2_28_x86_64 ;;
        aarch64) platform=manylinux_2_28_aarch64 ;;
        *) echo "keyhole: no ONNX Runtime package for $(uname -m); needs x86_64 or aarch64" >&2; exit 2 ;;
    esac
    echo "keyhole: fetching ONNX Runtime $version"
    python3 -m pip --disable-pip-version-check download --quiet --no-deps --only-binary=:all: --require-hashes \
        --implementation cp --python-version 311 --abi cp311 --platform "$platform" -d "$fetched" -r hw/onnxruntime.txt
    mkdir -p .setup/onnxruntime
    unzip -q -o -j "$fetched"/onnxruntime-*.whl onnxruntime/LICENSE onnxruntime/ThirdPartyNotices.txt \
        "onnxruntime/capi/libonnxruntime.so.$version" -d "$fetched/out"
    cp "$fetched"/out/LICENSE "$fetched"/out/ThirdPartyNotices.txt .setup/onnxruntime/
    cp "$fetched/out/libonnxruntime.so.$version" "$library.part"
    mv "$library.part" "$library"
fi

# The headers of both kinds of TensorRT (Apache-2.0), which the build compiles against, come in a package of bindings. Without them
# keyhole is built too, but makes no plans.
headers=.setup/tensorrt/include
if [ ! -f $headers/standard/NvInfer.h ]; then
    echo "keyhole: fetching TensorRT's headers"
    # Outside of this folder: the package is none of keyhole's.
    (cd "$fetched" && cargo info --quiet trtx-sys@0.9.1 >/dev/null) || true
    package=$(find "${CARGO_HOME:-$HOME/.cargo}"/registry/cache -name 'trtx-sys-0.9.1*.crate' 2>/dev/null | head -n 1)
    if [ -n "$package" ]; then
        echo "5480ee056292951daa1bc74532162d6cb75190f091e45d7d97c0c356916ae171  $package" | sha256sum --check --quiet ||
            { echo "keyhole: '$package' is not the package that is pinned here; remove it and run this again" >&2; exit 2; }
        # With the time of now: cargo builds anew what is newer than its last build.
        tar -xzmf "$package" -C "$fetched"
        rm -rf $headers.part $headers
        mkdir -p $headers.part
        mv "$fetched"/trtx-sys-*/TensorRT-Headers/TRT-RTX-1.7 $headers.part/rtx
        mv "$fetched"/trtx-sys-*/TensorRT-Headers/TRT-Enterprise-11.4 $headers.part/standard
        mv $headers.part $headers
    elif [ -n "${1:-}" ]; then
        echo "keyhole: cargo fetched no trtx-sys 0.9.1; see what 'cargo info trtx-sys@0.9.1' says" >&2
        exit 2
    else
        echo "keyhole: cargo fetched no trtx-sys 0.9.1: keyhole is built without TensorRT"
    fi
fi

# The compiler of the GPU's kernels. It needs no GPU: the tests compile every kernel.
if [ "${1:-}" = test ] || [ "${1:-}" = cuda ]; then
    compiler=.setup/cuda/libnvrtc.so.13
    if [ "$(uname -m)" != x86_64 ]; then
        echo "keyhole: NVRTC is pinned for x86_64 only: kernels are not compiled on $(uname -m)"
    elif [ ! -f "$compiler" ]; then
        echo "keyhole: fetching NVRTC $(sed -n 's/^nvidia-cuda-nvrtc==\([0-9.]*\).*/\1/p' hw/nvrtc.txt)"
        python3 -m pip --disable-pip-version-check download --quiet --no-deps --only-binary=:all: --require-hashes -d "$fetched" -r hw/nvrtc.txt
        unzip -q -o -j "$fetched"/nvidia_cuda_nvrtc-*.whl 'nvidia/cu13/lib/libnvrtc.so.13' 'nvidia/cu13/lib/libnvrtc-builtins.so.13.0' \
            '*/licenses/License.txt' -d "$fetched/nvrtc"
        mkdir -p .setup/cuda
        cp "$fetched/nvrtc/License.txt" "$fetched/nvrtc/libnvrtc-builtins.so.13.0" .setup/cuda/
        cp "$fetched/nvrtc/libnvrtc.so.13" "$compiler.part"
        mv "$compiler.part" "$compiler"
    fi

    # TensorRT-RTX needs no GPU either: the tests make plans.
    folder=.setup/tensorrt
    if [ "$(uname -m)" != x86_64 ]; then
        echo "keyhole: TensorRT-RTX is pinned for x86_64 only: no plans are made on $(uname -m)"
    elif [ ! -f $folder/libtensorrt_rtx.so.1 ]; then
        echo "keyhole: fetching TensorRT-RTX $(sed -n 's/^tensorrt-rtx-cu13-libs==\([0-9.]*\).*/\1/p' hw/tensorrt.txt)"
        python3 -m pip --disable-pip-version-check download --quiet --no-deps --only-binary=:all: --require-hashes -d "$fetched" -r hw/tensorrt.txt
        unzip -q -o -j "$fetched"/tensorrt_rtx_cu13_libs-*.whl '*/libtensorrt_rtx.so.1' '*/libtensorrt_onnxparser_rtx.so.1' \
            '*/licenses/LICENSE.txt' -d "$fetched/tensorrt"
        mkdir -p $folder
        cp "$fetched/tensorrt/LICENSE.txt" "$fetched/tensorrt/libtensorrt_onnxparser_rtx.so.1" $folder/
        cp "$fetched/tensorrt/libtensorrt_rtx.so.1" $folder/libtensorrt_rtx.so.1.part
        mv $folder/libtensorrt_rtx.so.1.part $folder/libtensorrt_rtx.so.1
    fi
fi

# The CUDA provider of ONNX Runtime, in a library that takes the place of the processor's alone, and what the provider opens.
if [ "${1:-}" = cuda ] && [ ! -f .setup/onnxruntime/libonnxruntime_providers_cuda.so ]; then
    if [ "$(uname -m)" != x86_64 ]; then
        echo "keyhole: ONNX Runtime's CUDA provider is pinned for x86_64 only: the backend 'cuda' does not run on $(uname -m)"
        exit 0
    fi
    echo "keyhole: fetching ONNX Runtime $version with its CUDA provider, and NVIDIA's libraries (about 1.2 GB)"
    (
        wheels=$(mktemp -d)
        trap 'rm -rf "$wheels"' EXIT
        python3 -m pip --disable-pip-version-check download --quiet --no-deps --only-binary=:all: --require-hashes \
            --implementation cp --python-version 311 --abi cp311 --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 \
            --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 -d "$wheels" -r hw/onnxruntime-gpu.txt
        out=$wheels/out
        unzip -q -o -j "$wheels"/onnxruntime_gpu-*.whl onnxruntime/LICENSE onnxruntime/ThirdPartyNotices.txt \
            "onnxruntime/capi/libonnxruntime.so.$version" onnxruntime/capi/libonnxruntime_providers_{shared,cuda}.so -d "$out"
        for wheel in "$wheels"/nvidia_*.whl; do
            unzip -q -o -j "$wheel" 'nvidia/*/lib/lib*.so.*' '*icense.txt' -d "$out"
            name=${wheel##*/}
            mv "$out"/[Ll]icense.txt "$out/LICENSE.${name%%-*}"
        done
        # Its last file says that it is whole.
        mv "$out/libonnxruntime_providers_cuda.so" "$wheels/"
        mv "$out"/* .setup/onnxruntime/
        mv "$wheels/libonnxruntime_providers_cuda.so" .setup/onnxruntime/libonnxruntime_providers_cuda.so.part
        mv .setup/onnxruntime/libonnxruntime_providers_cuda.so{.part,}
    )
    # cuDNN compiles some of its kernels by it.
    cp .setup/cuda/libnvrtc* .setup/onnxruntime/
fi
