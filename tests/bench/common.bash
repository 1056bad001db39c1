# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the benchmarks share: the stage of the system tests, the machine's CPU, statistics.
# shellcheck disable=SC2034,SC2154 # set for, and by, the helpers
rounds=${ROUNDS:-7}
BATS_TEST_DIRNAME=$PWD/tests/bats BATS_TEST_TMPDIR=$(mktemp -d) BATS_TEST_NUMBER=0
export TOLLGATE_BUILD=${BUILD:-build}
bats_require_minimum_version() { :; }
# shellcheck source=../bats/helpers.bash
. tests/bats/helpers.bash
# nginx: a killed master would leave its workers
trap '[ -z "${nginx_pid:-}" ] || stop "$nginx_pid" TERM; stage_down || echo "bench: something is left" >&2; rm -rf "$BATS_TEST_TMPDIR"' EXIT
stage_up

# CPU time of the whole machine, in ticks
ticks() { awk '/^cpu / { print $2 + $3 + $4 + $7 + $8 }' /proc/stat; }
median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
spread() { sort -n | awk '{ v[NR] = $1 } END { printf "%.2f to %.2f", v[1], v[NR] }'; }
