#!/usr/bin/env bash
# Proves `--display drm` on a real kernel, without a monitor: boots Debian's kernel in QEMU (software emulation) with a
# virtio-gpu card, runs keyhole there on the console, and compares what the card scans out (QEMU's screendump) with
# keyhole's own stills; also an unplugged monitor, a card that is taken, and the console given back. Judges pixels, counts
# and events, not speed. Installs QEMU and a kernel image; no part of `make test`. Takes about 3 minutes.
#   hw/drm-check.sh [FOLDER]     leaves its pictures and reports in FOLDER (target/drm-check)
set -euo pipefail
cd "$(dirname "$0")/.."
repo=$PWD
out=$(realpath -m "${1:-target/drm-check}")
keyhole=$repo/target/release/keyhole
[ -x "$keyhole" ] || { echo "drm-check: build first: make build" >&2; exit 2; }

missing=()
for package in qemu-system-x86 linux-image-amd64 busybox-static kmod cpio python3; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
    as_root=""
    [ "$(id -u)" -eq 0 ] || as_root=sudo
    $as_root apt-get update -qq
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi
kernel=$(ls /boot/vmlinuz-*-amd64 | sort -V | tail -1)
version=${kernel#/boot/vmlinuz-}

rm -rf "$out"
mkdir -p "$out"/{root/bin,root/modules,share}
share=$out/share
# Rendered here, played there: rendering takes long in emulation.
scaled='sim:?width=320&height=180&fps=5&seconds=4&seed=7'
whole='sim:?width=640&height=480&fps=5&seconds=4&seed=7'
for source in "$scaled" "$whole"; do
    XDG_CACHE_HOME=$share/cache "$keyhole" run --display headless --overlay off --source "$source" --seconds 4 >/dev/null 2>&1
done

# An initramfs that mounts this machine's own tree, read only, under a layer in memory.
cp /bin/busybox "$out/root/bin/"
number=100
for module in virtio_pci 9pnet_virtio 9p overlay virtio-gpu; do
    modprobe -S "$version" --show-depends "$module"
done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' | while read -r file; do
    number=$((number + 1))
    cp "$file" "$out/root/modules/$number-$(basename "$file")"
done
cat >"$out/root/init" <<INIT
#!/bin/busybox sh
/bin/busybox --install -s /bin
mkdir -p /proc /sys /dev /lower /upper /root
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
for module in /modules/*; do insmod "\$module"; done
share_of() { mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144,\$3 "\$1" "\$2"; }
share_of tree /lower ro,cache=loose
mount -t tmpfs upper /upper
mkdir /upper/data /upper/work
mount -t overlay -o lowerdir=/lower,upperdir=/upper/data,workdir=/upper/work overlay /root
for folder in proc sys dev; do mount --bind "/\$folder" "/root/\$folder"; done
mkdir -p /root/dev/shm
mount -t tmpfs shm /root/dev/shm
mount -t tmpfs tmp /root/tmp
mkdir -p "/root$repo" /root/tmp/share
share_of repo "/root$repo" ro,cache=loose
share_of share /root/tmp/share rw
chroot /root /bin/bash /tmp/share/job >/dev/ttyS0 2>&1
poweroff -f
INIT
chmod +x "$out/root/init"
(cd "$out/root" && find . | cpio -o -H newc --quiet | gzip -1) >"$out/initrd"

cat >"$share/job" <<JOB
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root XDG_CACHE_HOME=/tmp/cache XDG_STATE_HOME=/tmp/state
cd /tmp/share
cp -r cache /tmp/
# Asks the host for a picture of the screen.
picture() { touch "want-\$1"; until [ -e "have-\$1" ]; do sleep 0.1; done; }
run() { timeout 150 "$keyhole" run --display drm --overlay off "\$@"; }
for i in \$(seq 100); do [ -e /dev/dri/card0 ] && break; sleep 0.1; done
status=\$(echo /sys/class/drm/card0-*/status)
sort -u \${status%status}modes >modes
echo 0 >/sys/class/graphics/fbcon/cursor_blink
printf 'the console, as it was' >/dev/tty1
sleep 1
picture console-before
run --source '$scaled' --frames 220 --report scaled.json --snapshot scaled.png --snapshot-at \$(seq -s, 219) >scaled.txt 2>&1 &
sleep 14
picture scaled
run --source '$scaled' --frames 3 >taken.txt 2>&1; echo \$? >>taken.txt
cut -d' ' -f1 /proc/uptime >unplugged; echo off >\$status
sleep 2
cut -d' ' -f1 /proc/uptime >plugged; echo on >\$status
sleep 1.5
picture back
wait; echo \$? >scaled.exit
sleep 0.5
picture console-after
run --monitor HDMI-9 --source '$scaled' --frames 3 >monitor.txt 2>&1; echo \$? >>monitor.txt
run --source '$whole' --frames 70 --report whole.json --snapshot whole.png --snapshot-at \$(seq -s, 69) >whole.txt 2>&1 &
sleep 12
picture whole
wait
run --source '$scaled' --frames 10000 >killed.txt 2>&1 &
sleep 10
kill -9 \$(pidof keyhole) 2>/dev/null
sleep 1.5
picture console-killed
JOB

machine() {
    timeout 600 nice qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m 2048 -nodefaults -no-reboot \
        -kernel "$kernel" -initrd "$out/initrd" -append "console=ttyS0 quiet panic=-1" \
        -display none -serial "file:$out/serial.txt" -monitor "unix:$out/monitor,server,nowait" -device virtio-gpu-pci,xres=640,yres=400 \
        -fsdev "local,id=tree,path=/,security_model=none,readonly=on,multidevs=remap" -device virtio-9p-pci,fsdev=tree,mount_tag=tree \
        -fsdev "local,id=repo,path=$repo,security_model=none,readonly=on,multidevs=remap" -device virtio-9p-pci,fsdev=repo,mount_tag=repo \
        -fsdev "local,id=share,path=$share,security_model=none" -device virtio-9p-pci,fsdev=share,mount_tag=share
}
machine &
qemu=$!
trap 'kill $qemu 2>/dev/null || true' EXIT
while kill -0 "$qemu" 2>/dev/null; do
    for wanted in "$share"/want-*; do
        name=${wanted##*/want-}
        if [ -e "$wanted" ] && [ ! -e "$share/have-$name" ]; then
            python3 hw/drm_picture.py screendump "$out/monitor" "$out/$name.ppm"
            touch "$share/have-$name"
        fi
    done
    sleep 0.2
done
trap - EXIT
python3 hw/drm_picture.py judge "$out"
