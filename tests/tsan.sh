#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tsan.sh BUILD SANITIZED [BATS...]: system tests with the proxy and the exporter under
# ThreadSanitizer, and everything else as it is in BUILD.  A report fails, whatever the
# tests say; and so does a sanitizer that is not there.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
build=$1 sanitized=$2
shift 2
[ $# -gt 0 ] || set -- tests/bats/upgrade.bats tests/bats/backends.bats tests/bats/tls.bats tests/bats/http_tls.bats tests/bats/policies.bats
mix=$build/tsan
reports=$(mktemp -d)
trap 'rm -rf "$reports"' EXIT
chmod 777 "$reports" # who writes there may be nobody

rm -rf "$mix" && mkdir "$mix" || exit 1
for file in "$build"/*; do
	case $file in "$mix" | "$build"/san-*) ;; *) ln -s "$(realpath "$file")" "$mix/" ;; esac
done
for program in tollgate-proxy tollgate-exporter; do
	nm -D "$sanitized/$program" | grep __tsan_init >/dev/null || {
		echo "tsan: $sanitized/$program is not sanitized"
		exit 1
	}
	ln -sf "$(realpath "$sanitized/$program")" "$mix/$program"
done

rc=0
TSAN_OPTIONS="log_path=$reports/report exitcode=66" TOLLGATE_BUILD=$mix tests/bats/run.sh 2 "$@" || rc=1
if compgen -G "$reports/report.*" >/dev/null; then
	cat "$reports"/report.*
	rc=1
fi
exit $rc
