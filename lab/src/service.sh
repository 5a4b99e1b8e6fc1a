#!/bin/sh
# DOUBLE of a service manager: service.sh NAME status|drain|start|stop|restart
# The process that keeps the lab up does what is asked and answers with one line of JSON.
set -eu
if [ "$#" -ne 2 ]; then
    echo "usage: service.sh NAME status|drain|start|stop|restart" >&2
    exit 2
fi
folder=$(dirname -- "$0")
file="$1-$2-$$"
printf '%s %s\n' "$1" "$2" > "$folder/requests/$file.making"
mv -- "$folder/requests/$file.making" "$folder/requests/$file"
tries=0
while [ ! -f "$folder/answers/$file" ]; do
    tries=$((tries + 1))
    if [ "$tries" -gt 400 ]; then
        rm -f -- "$folder/requests/$file"
        echo "the lab does not answer: is it up?" >&2
        exit 1
    fi
    sleep 0.05
done
{
    read -r code
    cat
} < "$folder/answers/$file"
rm -f -- "$folder/answers/$file"
exit "$code"
