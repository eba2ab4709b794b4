# Keeps one throw-away Docker engine in a network of its own, for as long as its standard input stays open:
# sh -c THIS node PATH DIRECTORY
#
# As the engine of `xtask` (engine.sh): process, mount and here also network namespaces of its own, so that the kernel ends
# engine, shims and containers with the first process of them. Says `ready` once, when the namespaces are there.
set -eu
trap '' HUP INT TERM PIPE
export PATH="$1"
dir=$2
name=${dir##*/}
child=
groups() {
    find /sys/fs/cgroup -depth -type d -path "*/$name*" "$@" 2>/dev/null
}
stop() {
    exec <&-
    [ -z "$child" ] || wait "$child" 2>/dev/null || true
    tries=50
    while groups -exec rmdir {} ';' || true; [ -n "$(groups)" ] && [ "$tries" -gt 0 ]; do
        tries=$((tries - 1))
        sleep 0.1
    done
    cd /
    rm -rf "$dir"
}
trap stop EXIT
# Empty ones stay behind where the machine had none: another engine may have mounted its own there, and would lose it.
mkdir -p /etc/docker /run/docker /run/containerd /opt/containerd
cat >"$dir/engine" <<END
#!/bin/sh
# Nobody here waits for an engine that was killed: it would seem to run still.
rm -f "$dir/pid" "$dir/exec/containerd/containerd.pid"
exec env -i PATH="$PATH" dockerd --data-root "$dir/data" --exec-root "$dir/exec" --pidfile "$dir/pid" -H "unix://$dir/socket" \
    --storage-driver vfs --bridge none --iptables=false --ip-forward=false --ip-masq=false --userland-proxy=false \
    --exec-opt native.cgroupdriver=cgroupfs --cgroup-parent "/$name" --group root </dev/null >>"$dir/log" 2>&1
END
chmod 700 "$dir/engine"
exec 3<&0
unshare --net --mount --propagation slave --pid --fork --kill-child=KILL --mount-proc sh -c '
    ip link set lo up || exit 1
    for place in /etc/docker /run/docker /run/containerd /opt/containerd; do
        mount -t tmpfs -o mode=0700 tmpfs "$place" || exit 1
    done
    "$1/engine" 3<&- &
    echo ready
    while read -r _; do :; done <&3
' node "$dir" &
child=$!
echo "$child"
wait "$child"
