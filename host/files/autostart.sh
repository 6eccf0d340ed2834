#!/bin/sh
# libvirt starts its pools and guests once per boot, at its first start, and does not retry. A
# sheepdog node may join its cluster later than that. And a restarted libvirtd reports every sheepdog
# pool as inactive. So: wait for the cluster, then start what is left.
LC_ALL=C
export LC_ALL
seconds=${SHEEPVIRT_SECONDS:-120}
# Guests that have not started since this boot. A guest is removed after its first start, so one that
# a user shuts down later stays down, as with libvirt's own autostart.
left=${SHEEPVIRT_RUN:-/var/run}/sheepvirt-guests-left

libvirt() { virsh -q -c qemu:///system "$@" </dev/null; }
pools() { # a table: name, state, autostart; libvirt 1.0.3 knows no --name here
  found=$(libvirt pool-list --inactive --autostart) || return
  printf '%s\n' "$found" | sed 's/ *$//; s/ \{1,\}[^ ]*  *[^ ]*$//; s/^ *//; /^$/d'
}
guests() {
  found=$(libvirt list --inactive --autostart --name) || return
  printf '%s\n' "$found" | sed 's/ *$//; /^$/d'
}
ready() { timeout 5 dog cluster info </dev/null 2>/dev/null | grep -q '^Cluster status: running'; }
todo() { # whether something is left; yes, if libvirtd does not answer
  inactive=$(pools) || return 0
  [ -n "$inactive" ] || [ -s "$left" ]
}

start_pools() {
  pools | while IFS= read -r pool; do
    libvirt pool-start --pool "$pool"
  done
}
start_guests() { # prints the guests that are still left
  off=$(guests) || { cat "$left"; return; }
  while IFS= read -r guest; do
    if printf '%s\n' "$off" | grep -qxFe "$guest"; then
      libvirt start --domain "$guest" >&2 || printf '%s\n' "$guest"
    fi
  done <"$left"
}

[ -e "$left" ] || { guests >"$left.new" && mv "$left.new" "$left"; }
while todo; do
  if ready; then
    start_pools
    start_guests >"$left.new" && mv "$left.new" "$left"
  elif [ "$seconds" -le 0 ]; then
    echo 'sheepdog does not answer' >&2
  fi
  todo || break
  if [ "$seconds" -le 0 ]; then
    echo "not started: $(pools; cat "$left")" >&2
    exit 1
  fi
  seconds=$((seconds - 1))
  sleep 1
done
