#!/bin/sh
# Put one guest's disk together: assemble.sh LINE_FILE DISK
# MBR, a FAT partition with syslinux, kernel, initramfs, and LINE_FILE as the guest's /etc/line (a
# second cpio archive, which the kernel unpacks over the first); a partition for its boot record.
set -eu
line=$1 disk=$2
start=2048 # sectors of 512 bytes: 1 MiB, where partitions begin
export SOURCE_DATE_EPOCH=0 # mtools and mkfs.fat: the same parts make the same bytes

work=$(mktemp -d)
mkdir "$work/etc"
cp "$line" "$work/etc/line"
find "$work" -exec touch -d @0 {} +
(cd "$work" && printf 'etc\netc/line\n' | cpio --quiet --reproducible -o -H newc -R 0:0) > "$work/line.cpio"
cat > "$work/syslinux.cfg" <<'CONFIG'
DEFAULT guest
LABEL guest
  LINUX vmlinuz
  INITRD initramfs.gz,line.cpio
  APPEND console=ttyS0 quiet panic=10
CONFIG
cp /guest/vmlinuz /guest/initramfs.gz "$work/"
touch -d @0 "$work"/*

# A third more than the content, in whole MiB: the disk stays small whatever the kernel's size.
mib=$(($(du -cm "$work/vmlinuz" "$work/initramfs.gz" | tail -1 | cut -f1) * 4 / 3 + 2))
truncate -s "$((mib + 3))M" "$disk" # sfdisk wants room behind the last partition
# The second one is raw and empty (zeros): the guest keeps its boot record there, see init.
sfdisk -q "$disk" <<TABLE
label: dos
label-id: 0x73686570
start=$start, size=$((mib * 2048)), type=0e, bootable
start=$((start + mib * 2048)), size=2048, type=da
TABLE
dd if=/usr/lib/syslinux/mbr/mbr.bin of="$disk" conv=notrunc status=none
mkfs.fat -F 16 -i 73686570 -h $start --offset $start "$disk" $((mib * 1024)) > /dev/null
syslinux --install --offset $((start * 512)) "$disk"
mcopy -m -i "$disk@@$((start * 512))" \
  "$work/vmlinuz" "$work/initramfs.gz" "$work/line.cpio" "$work/syslinux.cfg" ::
rm -rf "$work"
