#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# run.sh [VERSION...]: boot Debian's kernels in an emulator with our programs in an
# initramfs, run the kernel-side tests there (init), and print what works where.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
build=${BUILD:-build}
work=$PWD/build/kernels
limit=${KERNELS_SECONDS:-240}
[ $# -gt 0 ] || set -- 6.1 6.12
# the metapackages follow Debian's security updates
declare -A meta=([6.1]=linux-image-cloud-amd64 [6.12]=linux-image-6.12-cloud-amd64)
modules=(veth sch_ingress cls_bpf nf_tables nft_objref nft_counter nft_reject_inet nf_flow_table nf_flow_table_inet)
programs=("$build/tollgate" "$build/tollgate-exporter" "$build/tests/tools/"{lives,hold,frames,storm}
	"$build/tests/bpf/parse_test" /bin/bash /usr/sbin/ip /usr/sbin/nft)
rc=0

package_of() { # METAPACKAGE: what it stands for today
	apt-cache depends "$1" 2>/dev/null | awk '/Depends: linux-image/ { print $2; exit }'
}

kernel_package() { # VERSION: unpacked below $work; prints the release
	local package
	package=$(package_of "${meta[$1]}")
	if [ -z "$package" ] && [ "$(id -u)" -eq 0 ]; then
		apt-get update -qq >&2 # the lists of a new machine are empty
		package=$(package_of "${meta[$1]}")
	fi
	[ -n "$package" ] || {
		echo "kernels: apt knows no ${meta[$1]}; is Debian's security archive among its sources?" >&2
		return 1
	}
	if [ ! -d "$work/$package" ]; then
		mkdir -p "$work/$package.new"
		(cd "$work" && apt-get download -qq -o APT::Sandbox::User=root "$package" >/dev/null &&
			dpkg-deb -x "$package"_*.deb "$package.new") || return 1
		rm -f "$work/$package"_*.deb
		mv "$work/$package.new" "$work/$package"
	fi
	echo "${package#linux-image-}"
}

copy_program() { # FILE ROOT: to /bin there, with its libraries where ldd finds them
	local library
	cp "$1" "$2/bin/"
	ldd "$1" | grep -o '/[^ ]*' | while read -r library; do
		mkdir -p "$2${library%/*}"
		cp -nL "$library" "$2$library"
	done
}

initramfs() { # RELEASE ROOT
	local kernel=$work/linux-image-$1 root=$2 program file name
	rm -rf "$root"
	mkdir -p "$root"/{bin,proc,sys,dev,tmp,root,modules}
	cp /bin/busybox "$root/bin/"
	for program in "${programs[@]}"; do copy_program "$program" "$root"; done
	cp "$build/tests/bpf/parse.bpf.o" tests/tools/lives.nft "$root/"
	cp tests/kernels/init "$root/init"
	depmod -b "$kernel" "$1"
	for name in "${modules[@]}"; do # some are built in, or part of another, by version
		modprobe -d "$kernel" -S "$1" --show-depends "$name" 2>/dev/null
	done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' | while read -r file; do
		name=$(basename "${file%.xz}")
		case $file in
		*.xz) xz -dc "$file" >"$root/modules/$name" ;;
		*) cp "$file" "$root/modules/$name" ;;
		esac
		echo "$name" >>"$root/modules/list"
	done
	(cd "$root" && find . | cpio -o -H newc --quiet) >"$root.cpio"
}

boot() { # RELEASE ROOT LOG
	timeout -k 5 "$limit" qemu-system-x86_64 -M pc -cpu max -smp 2 -m 1G -accel tcg,thread=multi \
		-nodefaults -no-user-config -display none -monitor none -no-reboot -serial stdio \
		-kernel "$work/linux-image-$1/boot/vmlinuz-$1" -initrd "$2.cpio" \
		-append "console=ttyS0 quiet panic=-1 mitigations=off" </dev/null >"$3" 2>&1
}

# split LOG DIR: one file a section, without the terminal's colours
split() {
	rm -rf "$2"
	mkdir -p "$2"
	tr -d '\r' <"$1" | sed 's/\x1b\[[0-9;]*m//g' | awk -v dir="$2" '
		/^@@begin / { file = dir "/" $2; printf "" >file; next }
		/^@@rc / { print $2 >(file ".rc"); next }
		/^@@end / { close(file); file = ""; next }
		/^@@done/ { printf "" >(dir "/done") }
		file { print >file }'
}

# --- what each feature must have shown; each function reads the sections in $d -----------

ok() { [ "$(cat "$d/$1.rc" 2>/dev/null)" = 0 ]; }
json() { sed -n '/^[[{]/,/^[]}]/p' "$d/$1"; }
lives() {
	ok "load-$1" && ok "lives-$1" && ok "audit-$1" || return 1
	jq -rn --slurpfile wanted "$d/lives-$1" --slurpfile got "$d/records-$1" \
		-f tests/tools/lives.jq >"$d/differences-$1" || return 1
	[ ! -s "$d/differences-$1" ] &&
		json "audit-$1" | jq -e '.residual_bytes.tcp_wire == 0 and .residual_bytes.totals_sockets == 0' &&
		json "status-$1" | jq -e '.faults.sequence_mismatch == 0 and .faults.counter_went_back == 0'
}
lives_sockops() { lives sockops; }
lives_tracepoint() { lives tracepoint; }
adoption() {
	local before after
	before=$(jq -s 'map(select(.step == 1))[0] | .tx + .rx' <(grep '^{' "$d/held"))
	after=$(jq -s 'map(select(.step == 2))[0] | .tx + .rx' <(grep '^{' "$d/held"))
	ok load-adopt && json status-adopt | jq -e ".sockets.adopted == 200 and .sockets.closed == 200 and
		.payload.rx_payload_bytes == $after - $before and .payload.tx_payload_bytes == $after - $before"
}
upgrade() { ok upgrade && adoption; }
wire() {
	ok load-wire && ok frames || return 1
	local protocol want
	for protocol in udp icmp sctp 253; do
		want=$(jq "select(.protocol == \"$protocol\") | .frame_bytes" "$d/frames")
		[ "$want" = "$(value "tollgate_wire_frame_bytes_total.*direction=\"rx\",protocol=\"$protocol\"")" ] || return 1
	done
}
value() { awk -v re="$1" '$0 ~ "^" re { sum += $NF } END { printf "%.0f", sum }' "$d/metrics"; }
xdp() {
	ok load-wire && grep -q "xdp *front native" "$d/status-wire" || return 1
	local want
	want=$(jq -s 'map(select(.protocol == "udp" or .protocol == "sctp") | .frame_bytes) | add' "$d/frames")
	want=$((want - 128)) # one has more extension headers than XDP goes through
	[ "$want" = "$(value 'tollgate_xdp_frame_bytes_total.*protocol="(udp|sctp)"')" ]
}
clsact() { ok load-clsact && ok unload-clsact; }
# A kernel that has no element at hand in an interrupt (bpf_mem_alloc refills later) makes
# none, and the books say so: incomplete, and nothing else is wrong.
complete_but_for_memory() {
	ok "$1" || { [ "$(cat "$d/$1.rc")" = 4 ] &&
		json "$1" | jq -e '.incomplete | length > 0 and all(.reason == "out_of_memory" and .count < 10)'; }
}
storm() {
	local wrote
	ok storm && complete_but_for_memory audit-storm || return 1
	wrote=$(jq -s 'map(.written) | add' "$d/storm")
	json audit-storm | jq -e '.residual_bytes.tcp_wire == 0 and .residual_bytes.totals_sockets == 0' &&
		json status-storm | jq -e ".payload.tx_payload_bytes == $wrote and .payload.rx_payload_bytes == $wrote"
}
nft_book() { ok load-nft && ok audit-flowtable; }
nft_at_devices() {
	ok load-nft-device && ok audit-nft-device && grep -A1 "counter refused-rx" "$d/nft-device" | grep -q "packets 1 " &&
		grep -q "dport 9 counter packets 1 " "$d/nft-device"
}
flowtable() { grep -q "flowtable inet other fast" "$d/audit-flowtable"; }
parser() { ok parse && grep -q "^1\.\.7" "$d/parse"; }
quiet_kernel() { [ -e "$d/done" ] && [ ! -s "$d/warnings" ]; }

# how it is done there, for the table
how_adoption() { grep -q link-state "$d/pins-adopt" && echo tracepoint || echo "callback flags"; }
how_wire() { grep -q clsact-rx "$d/pins-wire" && echo clsact || echo tcx; }

features=(lives_sockops lives_tracepoint adoption upgrade wire xdp clsact storm nft_book nft_at_devices flowtable parser
	quiet_kernel)
declare -A table releases pids
columns=()
mkdir -p "$work"
for version in "$@"; do
	releases[$version]=$(kernel_package "$version") || exit 1
	initramfs "${releases[$version]}" "$work/root-$version"
done
# side by side: each waits for itself most of the time
for version in "$@"; do
	boot "${releases[$version]}" "$work/root-$version" "$work/serial-$version.log" &
	pids[$version]=$!
done
for version in "$@"; do
	release=${releases[$version]}
	wait "${pids[$version]}" || rc=1
	d=$work/sections-$version
	split "$work/serial-$version.log" "$d"
	columns+=("$release")
	for feature in "${features[@]}"; do
		if "$feature" >/dev/null 2>&1; then
			table[$feature,$release]=yes
			! declare -F "how_$feature" >/dev/null ||
				table[$feature,$release]="yes, $("how_$feature")"
		else
			table[$feature,$release]=FAILED
			rc=1
		fi
	done
done
echo "kernels: took $SECONDS s"
printf '%-18s' feature
printf '%-28s' "${columns[@]}"
echo
for feature in "${features[@]}"; do
	printf '%-18s' "${feature//_/ }"
	for release in "${columns[@]}"; do printf '%-28s' "${table[$feature,$release]}"; done
	echo
done
[ "$rc" -eq 0 ] || echo "kernels: see $work/serial-*.log and sections-*/"
exit "$rc"
