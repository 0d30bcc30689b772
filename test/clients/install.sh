#!/usr/bin/env bash
# Installs every stranger client the compatibility matrix drives into .clients/.
# Each part has a stamp that holds what it was made from: a second run with
# nothing changed only compares stamps. Uses the ordinary package clients.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
dest=$root/.clients
mkdir -p "$dest/stamps" "$dest/logs" "$dest/bin"

# part NAME SPEC-FILE… -- COMMAND…: runs COMMAND unless NAME was already made from these files.
part() {
  local name=$1 sum start=$SECONDS
  shift
  local specs=()
  while [[ $1 != -- ]]; do specs+=("$1"); shift; done
  shift
  sum=$(cat "${specs[@]}" "$here/install.sh" | sha256sum)
  if [[ -f $dest/stamps/$name && $(<"$dest/stamps/$name") == "$sum" ]]; then
    echo "clients: $name present"
    return
  fi
  if ! "$@" >"$dest/logs/$name.log" 2>&1; then
    echo "clients: $name FAILED, end of $dest/logs/$name.log:" >&2
    tail -n 25 "$dest/logs/$name.log" >&2
    return 1
  fi
  echo "$sum" >"$dest/stamps/$name"
  echo "clients: $name installed in $((SECONDS - start)) s"
}

python_venv() {
  rm -rf "$dest/python/$1"
  python3 -m venv "$dest/python/$1"
  "$dest/python/$1/bin/pip" install --quiet --disable-pip-version-check -r "$here/python/$1.txt"
}

java_jars() {
  rm -rf "$dest/java"
  mvn --quiet --batch-mode -f "$here/java/pom.xml" -Dclients.dir="$dest" package
}

node_modules() {
  mkdir -p "$dest/node"
  cp "$here/node/package.json" "$dest/node/"
  (cd "$dest/node" && npm install --no-audit --no-fund --loglevel=error)
}

go_modules() { (cd "$root/test/compat/goclients" && go mod download && go build -o "$dest/bin/goclients.check" . && rm "$dest/bin/goclients.check"); }

kcat_package() {
  if command -v kcat; then return; fi
  if [[ $(id -u) != 0 ]]; then
    echo "kcat is not installed and this user is not root: run 'apt-get install kcat' as root, then 'make clients' again" >&2
    return 1
  fi
  apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends kcat
}

pids=()
(
  status=0
  for venv in kafka-python-2.3 kafka-python-3.0 aiokafka confluent-kafka; do
    part "$venv" "$here/python/$venv.txt" -- python_venv "$venv" || status=1
  done
  exit $status
) & pids+=($!)
part java "$here/java/pom.xml" "$here"/java/*/pom.xml -- java_jars & pids+=($!)
part node "$here/node/package.json" -- node_modules & pids+=($!)
part go "$root/test/compat/goclients/go.mod" "$root/test/compat/goclients/go.sum" -- go_modules & pids+=($!)
if command -v kcat >/dev/null; then echo "clients: kcat present"; else part kcat -- kcat_package & pids+=($!); fi

failed=0
for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
exit $failed
