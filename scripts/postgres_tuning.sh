#!/bin/sh
# Run a command beside a PostgreSQL of its own, for tuning with many workers:
#
#   scripts/postgres_tuning.sh sh -c 'kedro run --pipelines tuning --params "tuning.storage=$STORAGE" &
#     kedro run --pipelines tuning --params "tuning.storage=$STORAGE"; wait'
#
# $STORAGE is the database's address. The data lie in a temporary folder and go when the command
# ends. Needs Debian's `postgresql` (or pg_ctl in PATH) and pip install 'hand-pipeline[postgres]'.
set -eu

bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)
PATH="${bin:+$bin:}$PATH"
command -v pg_ctl > /dev/null || { echo "no pg_ctl; install Debian's package postgresql" >&2; exit 2; }

folder=$(mktemp -d)
# PostgreSQL refuses to run as root: then as the package's own user.
if [ "$(id -u)" = 0 ]; then
  chown postgres "$folder"
  as() { runuser -u postgres -- env PATH="$PATH" "$@"; }
else
  as() { "$@"; }
fi
stop() {
  as pg_ctl stop -D "$folder/data" -m immediate > /dev/null 2>&1 || true
  rm -rf "$folder"
}
trap stop EXIT
trap 'exit 130' INT TERM
chmod 755 "$folder"

cd "$folder"
as initdb --pgdata "$folder/data" --username tuning --auth trust > "$folder/initdb.log" 2>&1 \
  || { cat "$folder/initdb.log" >&2; exit 1; }
as pg_ctl start -w -D "$folder/data" -l "$folder/data/server.log" \
  -o "-c listen_addresses='' -c unix_socket_directories='$folder' -c unix_socket_permissions=0777" > /dev/null \
  || { cat "$folder/data/server.log" >&2; exit 1; }
as createdb --host "$folder" --username tuning optuna
cd - > /dev/null

STORAGE="postgresql+psycopg://tuning@/optuna?host=$folder"
export STORAGE
"$@"
