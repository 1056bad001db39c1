# SPDX-License-Identifier: Apache-2.0
# What differs between the lives that tools/lives.c made ($wanted) and the records of them
# ($got), one line each; nothing if all is as it should be.
def figures: {local, remote, role, reason, generation, rx_payload_bytes, tx_payload_bytes,
	tx_acked_bytes};
def ours: select(.protocol == "tcp" and (.local | endswith(":9980") | not) and
	(.remote | endswith(":9980") | not));
[$got[] | ours] as $got |
($wanted[] | select(figures as $w | any($got[]; figures == $w) | not) |
	"\(.life) \(.end): want \(figures)\n  got \(. as $w |
		[$got[] | select(.local == $w.local and .remote == $w.remote) | figures])"),
($got[] | select(figures as $g | any($wanted[]; figures == $g) | not) | "not asked for: \(.)"),
(if ($wanted | length) != ($got | length)
	then "\($wanted | length) lives, \($got | length) records" else empty end)
