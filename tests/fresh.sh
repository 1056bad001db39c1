#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The README as a newcomer lives it: a minimal Debian 12 in a scratch directory, git and
# make, a clone, `make run`, the first scrape; with `--check`, `make check` too.
#   sudo tests/fresh.sh [--check] [DIRECTORY]
# Needs debootstrap, and a network for apt. What it runs lives in a network namespace and
# a cgroup of its own; the scratch directory is removed at the end.
set -euo pipefail

check=
[ "${1:-}" = --check ] && check=yes && shift
scratch=$(mktemp -d "${1:-/tmp}/fresh.XXXXXX")
source=$(cd "$(dirname "$0")/.." && git rev-parse --show-toplevel)
root=$scratch/root
cgroup=
holder=
run=

undo() {
	trap - EXIT
	set +e
	[ -z "$run" ] || { kill "$run" && wait "$run"; } 2>/dev/null
	[ -z "$holder" ] || { kill "$holder" && wait "$holder"; } 2>/dev/null
	# what make had started may end a moment after make
	for ((i = 0; i < 100; i++)); do
		[ -n "$cgroup" ] || break
		[ -n "$(cat "$cgroup/cgroup.procs")" ] || break
		read -r -t 0.1 <> <(:)
	done
	[ "$i" -lt 100 ] || xargs ps -o pid,args -p <"$cgroup/cgroup.procs" >&2
	# what is mounted deepest goes first
	awk -v root="$root" 'index($5, root) == 1 { print $5 }' /proc/self/mountinfo | sort -r |
		while read -r point; do umount "$point"; done
	if grep -q " $root" /proc/self/mountinfo; then
		echo "fresh: $root still has mounts; it was left" >&2
	else
		rm -rf "$scratch"
	fi
	[ -z "$cgroup" ] || rmdir "$cgroup"
}
trap undo EXIT
trap 'exit 130' INT TERM

inside() { chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb "$@"; }

echo "fresh: debootstrap into $root"
debootstrap --variant=minbase --include=ca-certificates bookworm "$root" >"$scratch/debootstrap.log" 2>&1 || {
	tail "$scratch/debootstrap.log"
	exit 1
}
cp -L /etc/resolv.conf "$root/etc/resolv.conf"
# an installed Debian has the security archive among its sources, debootstrap leaves it out
sed -n 's|/debian/* bookworm main|/debian-security bookworm-security main|p' "$root/etc/apt/sources.list" \
	>"$root/etc/apt/sources.list.d/security.list"
inside apt-get update -qq
inside apt-get install -y -qq --no-install-recommends git make >"$scratch/git.log" 2>&1
git clone -q --no-hardlinks "file://$source" "$root/root/tollgate"

mount --bind "$root" "$root" # the root of a system is a mount; unshare(1) relies on it
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t bpf bpf "$root/sys/fs/bpf"
mount -t devpts devpts "$root/dev/pts" -o newinstance,ptmxmode=0666,mode=620
ln -sf pts/ptmx "$root/dev/ptmx"
mount -t tmpfs tmpfs "$root/tmp"

# `make run` may take the host's loopback; a test may not
unshare --net sleep infinity &
holder=$!
until [ "$(readlink "/proc/$holder/ns/net")" != "$(readlink /proc/self/ns/net)" ]; do :; done
nsenter --net="/proc/$holder/ns/net" ip link set lo up
cgroup=$(awk '/ - cgroup2 / { print $5; exit }' /proc/self/mountinfo)/tollgate-fresh-$$
mkdir "$cgroup"

echo "fresh: make run"
started=$SECONDS
(
	# its sockets belong to the test's cgroup, its terminal to nobody
	echo "$BASHPID" >"$cgroup/cgroup.procs"
	exec chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb \
		make -C /root/tollgate run CGROUP="/sys/fs/cgroup/${cgroup##*/}" \
		RUN_IN="nsenter --net=/proc/$holder/ns/net"
) >"$scratch/run.log" 2>&1 &
run=$!
until nsenter --net="/proc/$holder/ns/net" curl -fs http://127.0.0.1:9980/metrics >"$scratch/metrics"; do
	if ! kill -0 "$run" 2>/dev/null || [ $((SECONDS - started)) -gt 600 ]; then
		echo "fresh: make run did not come up:"
		tail -n 40 "$scratch/run.log"
		exit 1
	fi
	read -r -t 0.2 <> <(:) || :
done
echo "fresh: first scrape $((SECONDS - started)) s after the first command, $(grep -vc '^#' "$scratch/metrics") samples"
until grep -q "Live connections" "$scratch/run.log"; do
	kill -0 "$run"
	read -r -t 0.2 <> <(:) || :
done
nsenter --net="/proc/$holder/ns/net" curl -fsS -o /dev/null \
	--cacert "$root/root/tollgate/build/run/cert.pem" \
	--resolve demo.tollgate.test:8443:127.0.0.1 https://demo.tollgate.test:8443/
nsenter --net="/proc/$holder/ns/net" chroot "$root" /root/tollgate/build/tollgate audit
# Ctrl-C would reach the script that make started; it undoes everything, then make ends
while read -r pid; do
	if [ "$(tr '\0' ' ' <"/proc/$pid/cmdline")" = "bash demo/run.sh " ]; then
		kill -TERM "$pid"
	fi
done < <(cat "$cgroup/cgroup.procs")
wait "$run" || : # make reports the signal
run=
grep -q "nothing is left" "$scratch/run.log" || {
	tail -n 20 "$scratch/run.log"
	exit 1
}
[ ! -e "$root/sys/fs/bpf/tollgate" ]

if [ -n "$check" ]; then
	echo "fresh: make check"
	started=$SECONDS
	inside make -C /root/tollgate check
	echo "fresh: make check took $((SECONDS - started)) s"
fi
echo "fresh: fine"
