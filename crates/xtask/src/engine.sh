# Keeps one throw-away Docker engine for as long as its standard input stays open: sh -c THIS keeper PATH
#
# The engine lives in process and mount namespaces of its own: when the first process of the former ends, the kernel ends
# engine, shims and containers with it, and the mounts of the latter are gone too. That is the only way it is ever
# stopped, so the tidy way and the hard way are the same. The network is the machine's: containers must reach servers of
# the tests on loopback. Says `ready SOCKET` once, on stdout.
set -eu
trap '' HUP INT TERM PIPE
export PATH="$1"

child=
made=
dir=$(mktemp -d "${TMPDIR:-/tmp}/portcullis-engine.XXXXXX")
name=${dir##*/}
# The control groups of containers, in whatever hierarchies there are. The kernel lets go of them a moment later.
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
    for place in $made; do rmdir "$place" 2>/dev/null || true; done
}
trap stop EXIT
fail() {
    cat "$dir/log" >&2
    # The engine's first process reads our input to its end, which has not come.
    [ -z "$child" ] || kill -KILL "$child" 2>/dev/null || true
    exit 1
}

# Where the engine and its helpers write, whatever they are told; empty ones of its own are mounted there.
for place in /etc/docker /run/docker /run/containerd /opt/containerd; do
    [ -d "$place" ] || { mkdir "$place" && made="$place $made"; }
done

: >"$dir/log"
exec 3<&0
unshare --mount --propagation slave --pid --fork --kill-child=KILL --mount-proc sh -c '
    for place in /etc/docker /run/docker /run/containerd /opt/containerd; do
        mount -t tmpfs -o mode=0700 tmpfs "$place" || exit 1
    done
    env -i PATH="$PATH" dockerd --data-root "$1/data" --exec-root "$1/exec" --pidfile "$1/pid" -H "unix://$1/socket" \
        --storage-driver vfs --bridge none --iptables=false --ip-forward=false --ip-masq=false --userland-proxy=false \
        --exec-opt native.cgroupdriver=cgroupfs --cgroup-parent "/$2" --group root </dev/null 3<&- &
    while read -r _; do :; done <&3
' engine "$dir" "$name" >"$dir/log" 2>&1 &
child=$!

tries=600
until grep -q 'API listen on' "$dir/log"; do
    tries=$((tries - 1))
    kill -0 "$child" 2>/dev/null && ! grep -q 'failed to start' "$dir/log" && [ "$tries" -gt 0 ] || fail
    sleep 0.1
done
echo "ready $dir/socket"
wait "$child"
