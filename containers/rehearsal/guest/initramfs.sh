#!/bin/sh
# Make /guest/initramfs.gz: busybox, the modules that /init asks for, and what those need.
set -eu
cd /guest
version=$(basename kernel/lib/modules/*)
root=/guest/root
mkdir -p $root/bin $root/dev $root/etc $root/proc $root/sys "$root/lib/modules/$version"
cp /bin/busybox $root/bin/
for applet in $(busybox --list); do
  [ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"
done
cp init $root/init
chmod 755 $root/init

depmod -b /guest/kernel "$version"
for module in $(sed -n 's/^for module in \(.*\); do/\1/p' init); do
  modprobe -d /guest/kernel -S "$version" --show-depends "$module"
done | sed -n 's|^insmod /guest/kernel/||p' | sort -u | while read -r file; do
  mkdir -p "$root/$(dirname "$file")"
  cp "kernel/$file" "$root/$file"
done
cp kernel/lib/modules/"$version"/modules.order kernel/lib/modules/"$version"/modules.builtin \
  "$root/lib/modules/$version/"
depmod -b $root "$version"

# The same bytes whenever the same parts go in: times and inode numbers are left out.
find $root -exec touch -h -d @0 {} +
cd $root
find . | LC_ALL=C sort | cpio --quiet --reproducible -o -H newc -R 0:0 | gzip -9n > /guest/initramfs.gz
cp /guest/kernel/boot/vmlinuz-* /guest/vmlinuz
rm -rf $root /guest/kernel
