#!/bin/sh
# An operator that says its secret wherever an operator can say anything.
read -r _task
echo "the address is $NOOP_URL" >&2
printf '{"type":"progress","done":1,"message":"at %s"}\n' "$NOOP_URL"
printf '{"type":"result","outcome":"completed","output":{"at":["%s"],"%s":1}}\n' "$NOOP_URL" "$NOOP_URL"
