# Watches one process on behalf of an owner that may die at any moment, even by SIGKILL.
#
# Arguments: name, stop signal, seconds of grace, folder, `delete` or `keep`, then the command.
# Standard input is a pipe that only the owner holds: its end means that the owner has let go or is dead.
# The words on it: `go` starts the command. Answers on standard output: `prepared`, then the process id.
# Everything that ends, ends here, so stopping has one path whatever happened to the owner.

name=$1 signal=$2 grace=$3 folder=$4 fate=$5
shift 5
trap : HUP INT TERM

mkdir -p -m 711 "$folder" && cd "$folder" || exit 1
exec 3<&0 </dev/null
echo prepared

if read -r order <&3 && [ "$order" = go ]; then
    rm -f "$folder/$name.exit"
    # Logs, and files that hold secrets, are for their owner only, whatever the command itself makes of it.
    umask 077
    # A session of its own, so that one kill reaches everything the command starts.
    setsid "$@" >>"$folder/$name.stdout" 2>>"$folder/$name.stderr" 3<&- &
    child=$!
    echo "$child"
    exec >/dev/null 2>&1

    (
        read -r order <&3
        [ -e "$folder/$name.exit" ] && exit
        kill -s "$signal" "$child"
        ticks=$((grace * 50))
        while [ ! -e "$folder/$name.exit" ] && [ "$ticks" -gt 0 ]; do
            sleep 0.02
            ticks=$((ticks - 1))
        done
        [ -e "$folder/$name.exit" ] || kill -s KILL -- "-$child"
    ) &
    stopper=$!

    # A trapped signal ends `wait` early; only the child's end ends the loop.
    while :; do
        wait "$child"
        status=$?
        kill -s 0 "$child" 2>/dev/null || break
    done
    echo "$status" >"$folder/$name.exit"
    # The command may be gone while others of its session still run.
    read -r order <&3
    kill -s KILL -- "-$child"
    wait "$stopper"
fi

[ "$fate" = keep ] || rm -rf "$folder"
