#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Install what a target needs and is missing, by package name with apt.
#   setup.sh build          what `make` and `make run` need
#   setup.sh build check    and what the tests need
#   setup.sh kernels        what other kernels are booted with
# TOLLGATE_NO_APT=1 only says what is missing.
set -euo pipefail

# package and a file that shows it is there; the sets are named on the command line
# shellcheck disable=SC2034
build=(
	gcc:/usr/bin/gcc
	libc6-dev:/usr/include/stdlib.h
	make:/usr/bin/make
	clang:/usr/bin/clang
	bpftool:/usr/sbin/bpftool
	libbpf-dev:/usr/include/bpf/libbpf.h
	linux-libc-dev:/usr/include/linux/bpf.h
	libnftnl-dev:/usr/include/libnftnl/table.h
	libmnl-dev:/usr/include/libmnl/libmnl.h
	libcyaml-dev:/usr/include/cyaml/cyaml.h
	libyaml-dev:/usr/include/yaml.h
	libpcre2-dev:/usr/include/pcre2.h
	libc-ares-dev:/usr/include/ares.h
	libmicrohttpd-dev:/usr/include/microhttpd.h
	libsqlite3-dev:/usr/include/sqlite3.h
	zlib1g-dev:/usr/include/zlib.h
	libjansson-dev:/usr/include/jansson.h
	libcurl4-openssl-dev:/usr/include/x86_64-linux-gnu/curl/curl.h
	liburing-dev:/usr/include/liburing.h
	libssl-dev:/usr/include/openssl/sha.h
	libcrypt-dev:/usr/include/crypt.h
	libnghttp2-dev:/usr/include/nghttp2/nghttp2.h
	libcap-dev:/usr/include/sys/capability.h
	openssl:/usr/bin/openssl
	curl:/usr/bin/curl
)
# shellcheck disable=SC2034
check=(
	bats:/usr/bin/bats
	iproute2:/usr/sbin/ip
	nftables:/usr/sbin/nft
	jq:/usr/bin/jq
	libclang-rt-14-dev:/usr/lib/llvm-14/lib/clang/14.0.6/lib/linux/libclang_rt.fuzzer-x86_64.a
	shellcheck:/usr/bin/shellcheck
	clang-format:/usr/bin/clang-format
	iperf3:/usr/bin/iperf3
	man-db:/usr/bin/man
	procps:/usr/bin/pgrep
	util-linux:/usr/bin/nsenter
	netcat-openbsd:/usr/bin/nc.openbsd
	ethtool:/usr/sbin/ethtool
	dnsmasq-base:/usr/sbin/dnsmasq
	dehydrated:/usr/bin/dehydrated
	pebble:/usr/bin/pebble
	gnutls-bin:/usr/bin/gnutls-cli
	libnss3-tools:/usr/bin/tstclnt
	python3:/usr/bin/python3
	python3-grpcio:/usr/lib/python3/dist-packages/grpc/__init__.py
	wrk:/usr/bin/wrk
	apache2-bin:/usr/sbin/apache2
	nodejs:/usr/bin/node
	node-ws:/usr/share/nodejs/ws/package.json
	chromium:/usr/bin/chromium
	python3-websockets:/usr/lib/python3/dist-packages/websockets/__init__.py
	python3-h2:/usr/lib/python3/dist-packages/h2/__init__.py
	python3-jsonschema:/usr/lib/python3/dist-packages/jsonschema/__init__.py
	python3-yaml:/usr/lib/python3/dist-packages/yaml/__init__.py
	nghttp2-client:/usr/bin/h2load
)
# shellcheck disable=SC2034
kernels=(
	qemu-system-x86:/usr/bin/qemu-system-x86_64
	busybox-static:/bin/busybox
	cpio:/usr/bin/cpio
	kmod:/usr/sbin/depmod
	xz-utils:/usr/bin/xz
)
# taken apart below build/ instead of installed: their packages would start a service
unpacked=(
	prometheus:usr/bin/prometheus
	nginx:usr/sbin/nginx
	haproxy:usr/sbin/haproxy
	liblua5.3-0:usr/lib/x86_64-linux-gnu/liblua5.3.so.0
	libopentracing-c-wrapper0:usr/lib/x86_64-linux-gnu/libopentracing-c-wrapper.so.0
	libopentracing1:usr/lib/x86_64-linux-gnu/libopentracing.so.1
)

cd "$(dirname "$0")/.."

lists_fresh=
apt_update() {
	[ -n "$lists_fresh" ] && return
	echo "setup: apt-get update"
	apt-get update -qq
	lists_fresh=1
}

missing=()
for set in "$@"; do
	declare -n entries="$set"
	for entry in "${entries[@]}"; do
		[ -e "${entry#*:}" ] || missing+=("${entry%%:*}")
	done
done

if [ "${#missing[@]}" -gt 0 ]; then
	if [ "$(id -u)" -ne 0 ] || [ -n "${TOLLGATE_NO_APT:-}" ]; then
		echo "setup: missing packages: ${missing[*]}" >&2
		echo "setup: run this as root to install them, or: apt-get install ${missing[*]}" >&2
		exit 1
	fi
	apt_update
	echo "setup: installing ${missing[*]}"
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
		"${missing[@]}" >build-setup.log 2>&1 || {
		cat build-setup.log >&2
		exit 1
	}
	rm -f build-setup.log
fi

case " $* " in
*" check "*)
	for entry in "${unpacked[@]}"; do
		name=${entry%%:*}
		[ -e "build/tools/${entry#*:}" ] && continue
		apt_update
		echo "setup: unpacking $name below build/tools"
		mkdir -p build/tools
		# apt's own user may not write here; as root it does the download itself
		(cd build/tools && apt-get download -qq -o APT::Sandbox::User=root "$name" >/dev/null &&
			dpkg-deb -x "$name"_*.deb . && rm -f "$name"_*.deb)
	done
	;;
esac
