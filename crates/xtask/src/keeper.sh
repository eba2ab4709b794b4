# Keeps one throw-away PostgreSQL for as long as its standard input stays open: sh -c THIS keeper BIN PORT
#
# A process of its own, in its own group, because the end of input also comes when the command that started it was
# interrupted or killed: no server and no directory stays behind, whatever happens. Says `ready` once, on stdout.
set -eu
trap '' HUP INT TERM PIPE
bin=$1
port=$2

child=
dir=$(mktemp -d "${TMPDIR:-/tmp}/portcullis-test.XXXXXX")
stop() {
    # Again and again, since a server that has not set its handlers yet loses the signal. SIGINT is the fast shutdown.
    while [ -n "$child" ] && kill -INT "$child" 2>/dev/null; do sleep 0.1; done
    cd /
    rm -rf "$dir"
}
trap stop EXIT
fail() {
    cat "$dir/log" >&2
    exit 1
}

# The server refuses to run as root.
as=
if [ "$(id -u)" = 0 ]; then
    as='setpriv --reuid=postgres --regid=postgres --clear-groups'
    chown postgres: "$dir"
fi
cd "$dir"

# Nothing worth syncing exists yet; the server below does sync, since what is measured and crashed must be durable.
$as "$bin/initdb" --pgdata="$dir/data" --username=postgres --auth=trust --no-locale --encoding=UTF8 --no-sync \
    </dev/null >"$dir/log" 2>&1 || fail
$as "$bin/postgres" -D "$dir/data" -k "$dir" -h 127.0.0.1 -p "$port" \
    -c fsync=on -c synchronous_commit=on -c max_connections=300 -c shared_buffers=64MB \
    </dev/null >>"$dir/log" 2>&1 &
child=$!

tries=600
until grep -q '^ready' "$dir/data/postmaster.pid" 2>/dev/null; do
    tries=$((tries - 1))
    kill -0 "$child" 2>/dev/null && [ "$tries" -gt 0 ] || fail
    sleep 0.1
done
echo ready
while read -r _; do :; done
