#!/usr/bin/env bash
# Proves `--display drm` on a real kernel, without a monitor: boots Debian's kernel in QEMU (software emulation) with a
# virtio-gpu card, runs keyhole there on the console, and compares what the card scans out (QEMU's screendump) with
# keyhole's own stills; also an unplugged monitor, one that was asleep, a card that is taken, the console given back, the
# status display beside a narrow picture, keyboards (typed on by QEMU, plugged and pulled), a refresh that is not the
# source's, a clean feed on a second monitor, a monitor that was lent to a GPU's driver and is taken back from it (lavapipe plays the GPU), and a
# window on a real X server whose monitor sleeps (DPMS). Judges pixels, counts and events, not speed.
# Installs QEMU, a kernel image and Xorg; no part of `make test`. Takes about 6 minutes
# on a machine with nothing else to do.
#   hw/drm-check.sh [FOLDER]     leaves its pictures and reports in FOLDER (target/drm-check)
set -euo pipefail
cd "$(dirname "$0")/.."
repo=$PWD
out=$(realpath -m "${1:-target/drm-check}")
keyhole=$repo/target/release/keyhole
[ -x "$keyhole" ] || { echo "drm-check: build first: make build" >&2; exit 2; }

missing=()
for package in qemu-system-x86 linux-image-amd64 busybox-static kmod cpio python3 xserver-xorg-core x11-xserver-utils; do
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
export XDG_CACHE_HOME=$share/cache
scaled='sim:?width=320&height=180&fps=5&seconds=4&seed=7'
whole='sim:?width=640&height=480&fps=5&seconds=4&seed=7'
square='sim:?width=400&height=400&fps=5&seconds=4&seed=7'
for source in "$scaled" "$whole" "$square"; do
    "$keyhole" run --display headless --overlay off --source "$source" --seconds 4 >/dev/null 2>&1
done

# An initramfs that mounts this machine's own tree, read only, under a layer in memory.
cp /bin/busybox "$out/root/bin/"
number=100
for module in virtio_pci 9pnet_virtio 9p overlay virtio-gpu evdev xhci-pci usbhid hid-generic; do
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

cat >"$share/xorg.conf" <<'CONF'
Section "ServerFlags"
  Option "AutoAddDevices" "false"
EndSection
Section "Device"
  Identifier "card"
  Driver "modesetting"
  Option "AccelMethod" "none"
EndSection
CONF
"$keyhole" run --display headless --overlay off --hud off --source "$scaled" --frames 20 --snapshot "$share/clean.png" \
    --snapshot-at "$(seq -s, 0 19)" >/dev/null 2>&1
printf '[display]\nclean_feed = "monitor"\n' >"$share/feed.toml"
# The shipped engine takes longer in emulation than any worker may.
[ -x target/release/examples/small-engine ] || cargo build --release --quiet --example small-engine
target/release/examples/small-engine "$share/engines/test-cpu"
# Plugins are looked at here: that takes a minute there.
"$keyhole" run --display headless --overlay off --source "$square" --frames 5 --record "$out/registry.mkv" >/dev/null 2>&1
# The unit tests that take the card's monitor.
tests=$(cargo test --release --lib --no-run --message-format=json-render-diagnostics |
    python3 -c 'import json, sys; print([m["executable"] for m in map(json.loads, sys.stdin) if m.get("executable")][-1])')
printf '[link]\nkill_after_ms = 10000\n' >"$share/patient.toml"
printf '[display]\nrefresh_hz = "6"\n' >"$share/faster.toml"
printf '[display]\nrefresh_hz = "4"\n' >"$share/slower.toml"

cat >"$share/job" <<JOB
keyhole=$keyhole tests=$tests scaled='$scaled' whole='$whole' square='$square'
JOB
cat >>"$share/job" <<'JOB'
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root XDG_CACHE_HOME=/tmp/cache XDG_STATE_HOME=/tmp/state
cd /tmp/share
cp -r cache /tmp/
# Asks something of the host, by a name of its own, and waits until it is done.
ask() { name=$1; shift; echo "$*" >"asking"; mv asking "want-$name"; until [ -e "have-$name" ]; do sleep 0.1; done; }
# For a picture of the screen.
picture() { ask "$1" screendump; }
up() { read -r now _ </proc/uptime; echo "$now"; }
# For keys; notes when at the earliest and at the latest they were pressed.
strokes=0
key() {
    what=$1 strokes=$((strokes + 1)) from=$(up)
    shift
    ask "key-$strokes" "$(printf 'sendkey %s;' "$@")"
    echo "$what $from $(up)" >>strokes
}
run() { timeout 150 "$keyhole" run --display drm --overlay off "$@"; }
for i in $(seq 100); do [ -e /dev/dri/card0 ] && break; sleep 0.1; done
status=/sys/class/drm/card0-Virtual-1/status
dpms=${status%status}dpms
sort -u ${status%status}modes >modes
echo 0 >/sys/class/graphics/fbcon/cursor_blink
printf 'the console, as it was' >/dev/tty1
sleep 1
picture console-before
KEYHOLE_LOG=keyhole::display=info run --source "$scaled" --frames 220 --report scaled.json --snapshot scaled.png --snapshot-at $(seq -s, 219) >scaled.txt 2>&1 &
sleep 14
picture scaled
run --source "$scaled" --frames 3 >taken.txt 2>&1; echo $? >>taken.txt
up >unplugged; echo off >$status
sleep 2
up >plugged; echo on >$status
sleep 1.5
picture back
wait; echo $? >scaled.exit
sleep 0.5
picture console-after
for test in open::tests::a_monitor_that_was_lent_is_taken_back_and_the_console_gets_its_own \
    gpu::tests::a_gpu_follows_its_monitor_and_the_host_goes_on_where_it_is_lost; do
    timeout 200 "$tests" --exact "display::kms::$test" --ignored --nocapture >"${test%%:*}.txt" 2>&1
    echo $? >>"${test%%:*}.txt"
done
sleep 0.5
picture console-lent
run --monitor HDMI-9 --source "$scaled" --frames 3 >monitor.txt 2>&1; echo $? >>monitor.txt

# A monitor that was put to sleep is lit.
echo 4 >/sys/class/graphics/fb0/blank; cat $dpms >dpms
run --source "$whole" --frames 70 --report whole.json --snapshot whole.png --snapshot-at $(seq -s, 69) >whole.txt 2>&1 &
sleep 12
cat $dpms >>dpms
picture whole
wait
echo 0 >/sys/class/graphics/fb0/blank
run --source "$square" --frames 70 --report beside.json --snapshot beside.png --snapshot-at $(seq -s, 69) >beside.txt 2>&1 &
sleep 12
picture beside
wait
for rate in faster slower; do
    run --config $rate.toml --source "$scaled" --frames 50 --report $rate.json >$rate.txt 2>&1
done

# A second monitor.
run --config feed.toml --source "$scaled" --frames 3 >alone.txt 2>&1; echo $? >>alone.txt
echo on >/sys/class/drm/card0-Virtual-2/status
sleep 1
run --config feed.toml --source "$scaled" --frames 100 --report feed.json --snapshot feed.png --snapshot-at $(seq -s, 99) >feed.txt 2>&1 &
sleep 14
picture feed
ask clean screendump card 1
wait; echo $? >feed.exit
echo detect >/sys/class/drm/card0-Virtual-2/status

# What is typed reaches the console before and after a run, and nothing of it meanwhile.
exec 9<>/dev/tty1
stty raw -echo <&9
cat <&9 >typed &
console=$!
key before a
sleep 0.5
timeout 240 "$keyhole" run --display drm --config patient.toml --engines engines --overlay outline --source "$square" --frames 2000 --report keys.json --timeline keys.jsonl \
    --record /tmp/keys.mkv --snapshot keys.png >keys.txt 2>&1 &
keys=$!
# The recorder takes its time to begin.
until [ -s /tmp/keys.mkv.part ] || [ -s /tmp/keys.mkv ] || ! kill -0 $keys; do sleep 1; done
sleep 8
picture keys
key clean esc
sleep 5
key on o o
sleep 8
up >keyboard-plugged
ask plug device_add usb-kbd,id=typist
sleep 4
key clean x
sleep 5
key on o ret
sleep 8
up >keyboard-pulled
ask pull device_del typist
sleep 3
key clean spc
sleep 4
key quit q
wait $keys; echo $? >keys.exit
key after b
run --source "$scaled" --frames 10000 >killed.txt 2>&1 &
sleep 10
key killed x
kill -9 $(pidof keyhole) 2>/dev/null
sleep 1.5
picture console-killed
key after c
sleep 0.5
kill $console

# A window, and a monitor that X puts to sleep.
Xorg :7 vt7 -config /tmp/share/xorg.conf -logfile /tmp/share/xorg.txt -noreset -nolisten tcp -s 0 >/dev/null 2>&1 &
for i in $(seq 200); do [ -e /tmp/.X11-unix/X7 ] && break; sleep 0.1; done
export DISPLAY=:7
xset +dpms dpms 0 0 0 >xset.txt 2>&1; xset q >>xset.txt 2>&1
timeout 100 "$keyhole" run --display window --overlay off --source "$scaled" --frames 150 --report x11.json >x11.txt 2>&1 &
window=$!
# When the card has done it.
await() { until [ "$(<$dpms)" = "$1" ]; do read -rt 0.02 <>/tmp/never; done; up >"$2"; }
mkfifo /tmp/never
sleep 12
for n in 1 2; do
    await Off asleep-$n & waits=$!
    up >asleep-at-the-earliest-$n
    xset dpms force off
    wait $waits; sleep 2
    await On awake-$n & waits=$!
    up >awake-at-the-earliest-$n
    xset dpms force on
    wait $waits; sleep 2
done
picture x11
wait $window
JOB

machine() {
    timeout 900 nice qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m 2048 -nodefaults -no-reboot \
        -kernel "$kernel" -initrd "$out/initrd" -append "console=ttyS0 quiet panic=-1" \
        -display none -serial "file:$out/serial.txt" -monitor "unix:$out/monitor,server,nowait" -device virtio-gpu-pci,id=card,max_outputs=2,xres=640,yres=400 -device qemu-xhci \
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
            command=$(cat "$wanted")
            [ "${command%% *}" != screendump ] || command="screendump $out/$name.ppm${command#screendump}"
            python3 hw/drm_picture.py tell "$out/monitor" "$command"
            touch "$share/have-$name"
        fi
    done
    sleep 0.2
done
trap - EXIT
python3 hw/drm_picture.py judge "$out"
