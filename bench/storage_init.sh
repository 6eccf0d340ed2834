#!/bin/sh
# /init of the measuring guest: writes its disk from start to end, reads it back, says how long each
# took, powers off. It replaces the ordinary guest's /init (a later cpio archive wins).
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp 2>/dev/null || { mkdir -p /tmp; mount -t tmpfs tmp /tmp; }
exec </dev/console >/dev/console 2>&1
for module in virtio_pci virtio_blk; do
  modprobe "$module"
done
now() {
  read -r uptime _ < /proc/uptime
  echo "$uptime"
}
# Not zeros: a store may keep those for nothing.
tr '\0' '\125' < /dev/zero | head -c 67108864 > /tmp/data
start=$(now)
for part in 0 1 2 3; do # 64 MiB each: that much is in memory
  dd if=/tmp/data of=/dev/vda bs=1M seek=$((part * 64)) conv=fsync 2>/dev/null ||
    echo "measured failed"
done
end=$(now)
echo "measured write $start $end"
echo 3 > /proc/sys/vm/drop_caches # else it would read back from its own memory
start=$(now)
dd if=/dev/vda of=/dev/null bs=1M count=256 2>/dev/null || echo "measured failed"
end=$(now)
echo "measured read $start $end"
poweroff -f
