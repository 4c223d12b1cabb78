#!/bin/sh
# Installs red-runtime on a cluster node, from the init container of daemonset.yaml. The cluster node's /usr/bin and
# /etc/containerd are mounted below /host. Writes files of red-runtime only, and replaces each by rename(2), since running
# shims execute the old ones.
set -eu

config=/host/containerd/config.toml
drop_in=
if grep -qs '^[^#]*io\.containerd\.red\.v2' "$config"; then
    echo "$config configures the runtime already"
elif grep -qs '^ *version *= *3' "$config" && grep -qs '^[^#]*/etc/containerd/conf\.d/\*\.toml' "$config"; then
    drop_in=/host/containerd/conf.d/red-runtime.toml
else
    echo "/etc/containerd/config.toml does not import /etc/containerd/conf.d/*.toml, or is not of version 3:" \
        "add the tables of docs/containerd/red-v2.toml to it" >&2
    exit 1
fi

place() {
    [ -L "$2" ] || ! cmp -s "$1" "$2" || return 0
    cp "$1" "$2.new"
    chmod "$3" "$2.new"
    mv -f "$2.new" "$2"
    echo "installed $2"
}

place /red/red-runtime /host/bin/red-runtime 755
place /red/containerd-shim-red-v2 /host/bin/containerd-shim-red-v2 755
if [ -n "$drop_in" ]; then
    mkdir -p /host/containerd/conf.d
    place /red/red-v3.toml "$drop_in" 644
fi
