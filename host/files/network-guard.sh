#!/bin/sh
# Written by sheepvirt's bootstrap. A change of the network may make a host unreachable. So what was
# there before waits in a folder until the bootstrap has logged in again and takes the folder away. If
# it does not come in time, this script puts everything back.
#
#   kept/pending  network files that count from the next boot; going back takes another reboot
#   kept/live     a change of the running switch; what was claimed to go back is in kept/live.now
LC_ALL=C
PATH=$PATH:/sbin:/usr/sbin:/bin:/usr/bin
export LC_ALL PATH
kept=${SHEEPVIRT_KEPT:-/var/lib/sheepvirt/kept}
pending=$kept/pending live=$kept/live
folder=${SHEEPVIRT_SCRIPTS:-/etc/sysconfig/network-scripts}
log=${SHEEPVIRT_LOG:-/var/log}/sheepvirt-network-guard.log
run=${SHEEPVIRT_RUN:-/run}
seconds=240
[ ! -r /etc/sysconfig/sheepvirt-network-guard ] || . /etc/sysconfig/sheepvirt-network-guard

vsctl() { ovs-vsctl --timeout=10 "$@"; }
addresses() { # DEVICE: those that somebody has set, of both families, with their broadcast
  ip -o addr show dev "$1" scope global 2>/dev/null | grep -v ' inet6 .* dynamic' |
    sed -n 's/^[0-9]*: *[^ ]* *inet6\{0,1\} \([^ ]*\)\( brd [^ ]*\)\{0,1\} .*/\1\2/p'
}

keep_switch() { # FOLDER BRIDGE [UPLINK]: writes down all that `describe` says, or nothing
  was=$(describe "$2" "$3") || { echo "Open vSwitch does not answer" >&2; return 5; }
  printf '%s\n' "$was" >"$1/switch.new" && mv "$1/switch.new" "$1/switch" || {
    rm -f "$1/switch.new"
    return 1
  }
}

describe() { # BRIDGE [UPLINK]: what the switch and its devices are like
  vsctl br-exists "$1" 2>/dev/null
  case $? in
  0) echo "bridge $1 yes $(vsctl get bridge "$1" datapath_type | tr -d '"')" ;;
  2) echo "bridge $1 no" ;;
  *) return 1 ;;
  esac
  if [ -n "$2" ]; then
    echo "port $2 $(vsctl port-to-br "$2" 2>/dev/null)"
  fi
  for device in $1 $2; do
    echo "device $device"
    addresses "$device" | sed "s/^/address $device /"
    for family in -4 -6; do # those of the kernel itself come with the addresses
      ip $family route show dev "$device" 2>/dev/null | grep -v -e 'proto kernel' -e 'proto ra' -e '^fe80' |
        sed "s/ *linkdown//; s/^/route $family $device /"
    done
  done
  return 0
}

put_switch_back() { # FOLDER [devices]: as it was written down; addresses only where devices is given
  [ -r "$1/switch" ] || return 0
  while read -r kind name rest; do
    case $kind in
    port)
      now=$(vsctl port-to-br "$name" 2>/dev/null)
      if [ "$now" != "$rest" ]; then
        vsctl --if-exists del-port "$name"
        [ -z "$rest" ] || vsctl --may-exist add-port "$rest" "$name"
      fi
      ;;
    esac
  done <"$1/switch"
  while read -r kind name there datapath; do
    case $kind-$there in
    bridge-yes)
      if vsctl br-exists "$name"; then
        [ "$(vsctl get bridge "$name" datapath_type | tr -d '"')" = "$datapath" ] ||
          vsctl set bridge "$name" datapath_type="${datapath:-\"\"}"
      else
        vsctl add-br "$name" -- set bridge "$name" datapath_type="${datapath:-\"\"}"
      fi
      ;;
    bridge-no) # one that guests have been plugged into meanwhile stays
      [ -n "$(vsctl list-ports "$name" 2>/dev/null)" ] || vsctl --if-exists del-br "$name"
      ;;
    esac
  done <"$1/switch"
  [ -z "$2" ] || put_devices_back "$1"
}

put_devices_back() { # FOLDER: addresses and routes
  while read -r kind name rest; do
    [ "$kind" = device ] || continue
    addresses "$name" | while read -r address; do
      grep -qxF "address $name $address" "$1/switch" || ip addr del "${address%% *}" dev "$name"
    done
  done <"$1/switch"
  while read -r kind name rest; do
    [ "$kind" = address ] || continue
    ip link set dev "$name" up
    addresses "$name" | grep -qxF "$rest" || ip addr add $rest dev "$name"
  done <"$1/switch"
  while read -r kind family name rest; do
    [ "$kind" != route ] || ip "$family" route replace $rest dev "$name"
  done <"$1/switch"
}

put_live_back() { # now, and only once, whoever comes first
  [ -d "$live.now" ] || mv "$live" "$live.now" 2>/dev/null || return 0
  echo "$(date): putting the former switch back"
  put_switch_back "$live.now" devices
  mv "$live.now" "$kept/live-put-back.$(date +%Y%m%d-%H%M%S).$$"
}

somebody_is_in() { # over the network: an administrator's login is a proof as well
  who 2>/dev/null | grep -v '(:' | grep -q '(.*)'
}

put_files_back() {
  [ -d "$pending" ] || return 0
  if somebody_is_in; then
    echo "$(date): somebody has logged in over the network: the new files stay"
    rm -rf "$pending"
    return 0
  fi
  echo "$(date): not reached within $seconds s: restoring the former network files"
  for former in "$pending"/ifcfg-*; do
    [ -e "$former" ] || continue
    file=$folder/${former##*/}
    if [ -s "$former" ]; then
      cp -p "$former" "$file.sheepvirt~" && mv -f "$file.sheepvirt~" "$file" || {
        rm -f "$file.sheepvirt~"
        mv -f "$former" "$file" # a full disk has room for another name
      } || return 1
    else # the file did not exist
      rm -f "$file"
    fi
  done
  put_switch_back "$pending" # else the uplink would still be a port after the reboot
  mv "$pending" "${pending%/*}/put-back.$(date +%Y%m%d-%H%M%S)" && shutdown -r now
}

watch() { # after a boot
  [ ! -d "$live.now" ] || put_live_back
  sleep "$seconds"
  [ ! -d "$live" ] || put_live_back
  put_files_back
}

arm() { # SECONDS BRIDGE [UPLINK]
  if [ -d "$live" ] || [ -d "$live.now" ]; then
    echo "another change of the switch is being watched: $live" >&2
    return 4
  fi
  rm -rf "$live.new" && mkdir -p "$live.new" && chmod 700 "$kept" || return
  keep_switch "$live.new" "$2" "$3" && echo "$1" >"$live.new/seconds" && mv "$live.new" "$live" || {
    code=$?
    rm -rf "$live.new"
    return $code
  }
  # Of its own: it must outlive the connection that starts it.
  if [ -d "$run/systemd/system" ] && systemd-run /bin/sh "$0" watch-live "$1" >/dev/null 2>&1; then
    return 0
  fi
  if command -v setsid >/dev/null 2>&1; then
    setsid nohup sh "$0" watch-live "$1" </dev/null >/dev/null 2>&1 &
  else
    nohup sh "$0" watch-live "$1" </dev/null >/dev/null 2>&1 &
  fi
}

disarm() { # 3: too late, or it was not armed
  rm -rf "$live.seen"
  mv "$live" "$live.seen" 2>/dev/null || return 3
  rm -rf "$live.seen"
}

case $1 in
watch) watch >>"$log" 2>&1 ;;
watch-live)
  sleep "$2"
  put_live_back >>"$log" 2>&1
  ;;
put-back) put_live_back 2>&1 | tee -a "$log" ;;
keep-switch) keep_switch "$2" "$3" "$4" ;;
arm) arm "$2" "$3" "$4" ;;
disarm) disarm ;;
status)
  for one in "$pending" "$live" "$live.now"; do
    [ ! -d "$one" ] || { echo "what was there before waits in $one"; waits=yes; }
  done
  [ -n "$waits" ] || echo idle
  ;;
*)
  echo "usage: $0 {watch|watch-live SECONDS|put-back|keep-switch|arm|disarm|status}" >&2
  exit 2
  ;;
esac
