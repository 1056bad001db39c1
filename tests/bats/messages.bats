#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What the configuration's reader says to somebody who wrote the obvious thing: the words
# that help him on, and the place.  Nothing is loaded and nothing runs.

load helpers

setup() { DIR=$BATS_TEST_TMPDIR; }

# refused_with WORD...: `check` of standard input fails in one line that has all of these
refused_with() {
	local word
	cat >"$DIR/c.yaml"
	run -1 "$BIN/tollgate" check "$DIR/c.yaml"
	equal 1 "${#lines[@]}" "lines"
	for word; do
		[[ ${output,,} == *"${word,,}"* ]] || {
			echo "no '$word' in: $output"
			return 1
		}
	done
}

# listener ADDRESS: of that address as it stands in the file, and a route
listener() {
	printf '%s\n' 'listeners:' '  - name: web' "    address: $1" \
		'    routes: [{ name: app, backends: ["198.51.100.1:3000"] }]'
}

# route LINE...: a TLS listener whose route has these lines
route() {
	printf '%s\n' 'listeners:' '  - name: web' '    address: "192.0.2.2:8443"' '    routes:' '      - name: app' \
		'        backends: ["198.51.100.1:3000"]'
	printf '        %s\n' "$@"
}

@test "an address that begins with [ and is not quoted: quote it" {
	refused_with 'c.yaml:3:' quote '"[::]:443"' < <(listener '[::]:443')
}

@test "an address that begins with * and is not quoted: quote it" {
	refused_with 'c.yaml:3:' quote < <(listener '*:443')
}

@test "a wildcard name that is not quoted: quote it" {
	refused_with 'c.yaml:7:' quote '"*.example.org"' < <(route 'sni: [*.example.org]')
}

@test "one name where a list is wanted: how the list is written" {
	refused_with 'c.yaml:7:' 'a list' '[a.example.org]' < <(route 'sni: a.example.org')
	# the same key is a word elsewhere
	refused_with 'c.yaml:7:' 'a list' '[/a]' < <(route 'http: { path: /a }')
	route "health: { type: http, path: /a }" "http: {}" >"$DIR/d.yaml"
	run -0 "$BIN/tollgate" check "$DIR/d.yaml"
}

@test "one backend where a list is wanted: how the list is written" {
	refused_with 'c.yaml:6:' 'a list' '["198.51.100.1:3000"]' \
		< <(route 'sni: ["*"]' | sed 's/backends: \[\(.*\)\]/backends: \1/')
}

@test "a value that is none of the words: which words there are" {
	refused_with 'c.yaml:7:' "'on'" none v1 v2 v2-tlvs < <(route 'send_proxy: on')
	refused_with 'c.yaml:7:' "'best'" round_robin least_connections source_hash random < <(route 'balance: best')
	refused_with 'c.yaml:7:' "'icmp'" tcp tls http < <(route 'health: { type: icmp }')
}

@test "an alias or a merge key: aliases are not allowed" {
	refused_with 'c.yaml:9:' 'alias' < <(route 'priority: 1' | sed 's/- name: app/- \&r\n        name: app/' &&
		printf '%s\n' '      - <<: *r' '        name: second')
	refused_with 'alias' < <(route 'sni: &names ["a.example.org"]' && printf '%s\n' '      - name: second' \
		'        backends: ["198.51.100.1:3000"]' '        sni: *names')
}

@test "an expression in double quotes: single quotes" {
	refused_with 'c.yaml:7:' 'single quotes' < <(route 'sni: ["~^a\d+$"]')
}

@test "an empty list: in words, not in numbers of a schema" {
	refused_with 'c.yaml:7:' sni empty < <(route 'sni: []')
	[[ ${output,,} != *"entries"* && ${output,,} != *"min"* && ${output,,} != *"count"* ]]
	refused_with 'c.yaml:6:' backends empty < <(route 'sni: ["*"]' | sed 's/backends: .*/backends: []/')
	refused_with 'c.yaml:1:' listeners empty <<<'listeners: []'
}

@test "a listener's address without a number: 0.0.0.0 or [::] for all" {
	refused_with 'c.yaml:3:' "'localhost:443'" '"127.0.0.1:443"' '"[::1]:443"' < <(listener '"localhost:443"')
	refused_with 'c.yaml:3:' "':443'" '"[::]:443"' '"127.0.0.1:443"' < <(listener '":443"')
	refused_with 'c.yaml:3:' "'443'" '"[::]:443"' < <(listener '443')
	refused_with 'c.yaml:3:' "'*:443'" '"[::]:443"' < <(listener '"*:443"')
	refused_with 'c.yaml:3:' "'::1:443'" '"[::1]:443"' < <(listener '"::1:443"')
	refused_with 'c.yaml:3:' "'192.0.2.2'" '"192.0.2.2:PORT"' < <(listener '192.0.2.2')
	refused_with 'c.yaml:3:' "'gate.example.org:443'" 0.0.0.0 '[::]' < <(listener '"gate.example.org:443"')
}

@test "an address with a zone: zones are not taken" {
	refused_with 'c.yaml:3:' zone < <(listener '"[fe80::1%eth0]:443"')
	refused_with 'c.yaml:6:' zone < <(route 'sni: ["*"]' | sed 's/198.51.100.1:3000/[fe80::1%eth0]:3000/')
}

@test "a file without --config: --config is missing" {
	listener '"192.0.2.2:8080"' >"$DIR/c.yaml"
	run -2 "$BIN/tollgate-proxy" "$DIR/c.yaml"
	[[ ${lines[0]} == *"--config is missing"* ]]
	run -2 "$BIN/tollgate-proxy"
	[[ ${lines[0]} == *"--config is missing"* ]]
}

@test "check shows what it understood: listeners, routes, names and addresses" {
	route 'sni: [a.example.org]' >"$DIR/c.yaml"
	run -0 "$BIN/tollgate" check "$DIR/c.yaml"
	for word in web 192.0.2.2:8443 app a.example.org 198.51.100.1:3000; do
		[[ $output == *"$word"* ]]
	done
}

@test "the configuration in README.md is one, and every route of it can be reached" {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$DIR/www.key" -out "$DIR/www.pem" \
		-subj /CN=www.example.org -addext subjectAltName=DNS:www.example.org -days 30 2>/dev/null
	awk '/^```yaml/ { on = 1; next } /^```/ { on = 0 } on' "$ROOT/README.md" | sed "s|/etc/tollgate|$DIR|g" >"$DIR/c.yaml"
	run -0 "$BIN/tollgate" check "$DIR/c.yaml"
	[[ $output == *"fine, 2 listeners"* && $output != *unreach* && $output != *"never"* ]]
	run -0 "$BIN/tollgate" explain "$DIR/c.yaml" https://www.example.org/api/x
	[[ $output == *"route api"* ]]
}

@test "what cannot be of a route with http: the key, and what is to be done" {
	refused_with 'c.yaml:7:' "'/a/:b/*'" 'expression does both' < <(route 'http: { path: ["/a/:b/*"] }')
	refused_with 'c.yaml:7:' "'host' of 'http'" < <(route 'http: { header: ["Host: a.example.org"] }')
	refused_with 'c.yaml:7:' "'a b' is no host or host:port" < <(route 'http: { request: { set: ["Host: a b"] } }')
	refused_with 'c.yaml:7:' "'host' can be 'set' in a request" < <(route 'http: { request: { remove: [host] } }')
	refused_with 'c.yaml:7:' "'host' can be 'set' in a request" < <(route 'http: { response: { set: ["Host: a"] } }')
	refused_with 'c.yaml:7:' "'pool' is for" 'http/1.1' < <(route 'http: { pool: 5, protocol: h2 }')
	refused_with 'c.yaml:7:' "'a b'" host:port < <(route 'health: { type: http, name: "a b" }' 'http: {}')
	refused_with 'c.yaml:7:' "'/a b' is not a path" < <(route 'health: { type: http, path: "/a b" }' 'http: {}')
	route 'http: { request: { set: ["Host: ${host}"] } }' >"$DIR/c.yaml"
	run -0 "$BIN/tollgate" check "$DIR/c.yaml"
}

# answers HTTP LINE...: a route without backends that has these
answers() {
	printf '%s\n' 'listeners:' '  - name: web' '    address: "192.0.2.2:8443"' '    routes:' '      - name: app'
	printf '        %s\n' "$@"
}

@test "a route that answers itself: what is for backends is refused, not ignored" {
	refused_with 'c.yaml:6:' '204 has no body' < <(answers 'http: { respond: { status: 204, body: x } }')
	for key in 'retries: 1' 'slow_start: 5s' 'health: { type: tcp }' 'backends: ["198.51.100.1:80"]' 'send_proxy: v1'; do
		refused_with "'${key%%:*}' is for routes with backends" "'app' answers itself" < <(answers 'http: { respond: { body: x } }' "$key")
	done
	for key in 'pool: 1' 'protocol: h2' 'head_timeout: 5s' 'request: { set: ["A: b"] }'; do
		refused_with "'${key%%:*}' is for routes with backends" < <(answers "http: { respond: { body: x }, $key }")
	done
	answers 'http: { respond: { body: x } }' >"$DIR/c.yaml"
	run -0 "$BIN/tollgate" check "$DIR/c.yaml"
}

@test "an expression for a path that takes too many steps is warned of; more routes than can be looked at are refused" {
	route "http: { path: ['~^/(a+)+\$'] }" >"$DIR/c.yaml"
	run -0 "$BIN/tollgate" check "$DIR/c.yaml"
	[[ $output == *"expression"* && $output == *"warn:"* ]]
	{
		printf '%s\n' 'listeners:' '  - name: web' '    address: "192.0.2.2:8443"' '    routes:'
		for r in {1..17}; do
			printf '      - { name: r%s, http: { host: [' "$r"
			printf 'h%s.example.org, ' {1..32}
			printf '], path: ['
			printf '/r%s/%s, ' "$r" 1 "$r" 2 "$r" 3 "$r" 4 "$r" 5 "$r" 6 "$r" 7 "$r" 8 "$r" 9 "$r" 10 "$r" 11 \
				"$r" 12 "$r" 13 "$r" 14 "$r" 15 "$r" 16 "$r" 17 "$r" 18 "$r" 19 "$r" 20 "$r" 21 "$r" 22 "$r" 23 \
				"$r" 24 "$r" 25 "$r" 26 "$r" 27 "$r" 28 "$r" 29 "$r" 30 "$r" 31
			echo '], respond: { body: x } } }'
		done
	} >"$DIR/many.yaml"
	refused_with 'more than 16384' <"$DIR/many.yaml"
}

@test "check --json: every error with its place, warnings, and whether it is fine" {
	route 'priorty: 1' 'sni: ["a b", a.example.org]' >"$DIR/c.yaml"
	run -1 "$BIN/tollgate" check --json "$DIR/c.yaml"
	jq -e '.fine == false and (.errors | length) == 2 and .more_errors == 0 and
		.errors[0].line == 7 and .errors[0].column == 9 and .errors[0].pointer == "/listeners/0/routes/0/priorty" and
		(.errors[0].detail | test("priority")) and .errors[1].key == "listeners[0].routes[0].sni[0]"' <<<"$output"
	route 'http: { path: [/a] }' 'sni: []' >"$DIR/c.yaml"
	printf '%s\n' '      - { name: b, http: { path: ["/a/*"] }, backends: ["198.51.100.1:3000"] }' \
		'      - { name: c, http: { path: ["/a/b"] }, backends: ["198.51.100.1:3000"] }' >>"$DIR/c.yaml"
	sed -i '/sni/d' "$DIR/c.yaml"
	run -0 "$BIN/tollgate" check --json "$DIR/c.yaml"
	jq -e '.fine and .errors == []' <<<"$output"
	run -1 "$BIN/tollgate" check --json "$DIR/none.yaml"
	jq -e '.fine == false and (.errors[0].detail | test("No such file"))' <<<"$output"
}

@test "export is the same configuration in one file, and diff finds nothing between them" {
	mkdir "$DIR/sites"
	printf '%s\n' 'routes: [{ name: b, http: { path: [/b] }, backends: ["198.51.100.2:{$PORT:3000}"] }]' >"$DIR/sites/b.yaml"
	{
		echo 'defaults: { retries: 1, http: { body_bytes: 1m } }'
		route 'http: { path: [/a] }' | sed 's|    routes:|    include: sites/*.yaml\n    routes:|'
	} >"$DIR/c.yaml"
	"$BIN/tollgate" export "$DIR/c.yaml" >"$DIR/e.yaml"
	run -1 grep -E 'include|defaults|PORT' "$DIR/e.yaml"
	run -0 "$BIN/tollgate" diff "$DIR/c.yaml" "$DIR/e.yaml"
	equal "" "$output" "differences"
	run -0 "$BIN/tollgate" diff --json "$DIR/c.yaml" "$DIR/e.yaml"
	equal "[]" "$output" "differences in JSON"
	"$BIN/tollgate" export --json "$DIR/c.yaml" >"$DIR/e.json"
	jq -e '.listeners[0].routes[1].http.body_bytes == 1048576 and .listeners[0].routes[1].retries == 1 and
		.listeners[0].routes[1].backends == ["198.51.100.2:3000"]' "$DIR/e.json"
	# JSON is YAML, too
	run -0 "$BIN/tollgate" diff "$DIR/c.yaml" "$DIR/e.json"
	PORT=4000 run -1 "$BIN/tollgate" diff "$DIR/e.json" "$DIR/c.yaml"
	equal '~ listeners[web].routes[b].backends: ["198.51.100.2:3000"] -> ["198.51.100.2:4000"]' "$output" "the difference"
	PORT=4000 run -1 "$BIN/tollgate" diff --json "$DIR/e.json" "$DIR/c.yaml"
	jq -e '.[0].kind == "changed" and .[0].key == "listeners[web].routes[b].backends" and .[0].after == ["198.51.100.2:4000"]' <<<"$output"
	# of a file that is none there is no difference
	echo 'listeners: 1' >"$DIR/wrong.yaml"
	run -1 "$BIN/tollgate" diff "$DIR/c.yaml" "$DIR/wrong.yaml"
	[[ $output == *"wrong.yaml:1:12: listeners: is a list"* ]]
}

@test "the JSON Schema takes what the checker takes, and not what is of another shape" {
	"$BIN/tollgate" schema >"$DIR/schema.json"
	awk '/^```yaml/ { on = 1; next } /^```/ { on = 0 } on' "$ROOT/README.md" >"$DIR/readme.yaml"
	{
		echo 'include: [a.yaml, "b/*.yaml"]'
		echo 'defaults: { retries: 1, http: { body_bytes: 1MiB } }'
		route 'min_version: 1.3' 'http: { head_timeout: 5s }'
	} >"$DIR/c.yaml"
	/usr/bin/python3 -W ignore - "$DIR/schema.json" "$ROOT/tests/unit/config/wrong.txt" "$DIR/readme.yaml" "$ROOT/demo/demo.yaml" "$DIR/c.yaml" <<-'P'
		import json, re, sys, yaml
		from jsonschema import Draft7Validator
		schema = json.load(open(sys.argv[1]))
		Draft7Validator.check_schema(schema)
		validator = Draft7Validator(schema)
		for path in sys.argv[3:]:
		    for error in validator.iter_errors(yaml.safe_load(open(path))):
		        sys.exit(f"{path}: {error.message}")
		# of the shape is what says these; the others are valid, as far as a schema knows
		shape = re.compile(r"is no key here|is a list|is no list|is one value|is no value for it|nothing stands here|has keys of its own|a variable is quoted|"
		                   r"is not a number|is not true or false|did you mean|characters, and at most|each route's own|include: is a file")
		right = wrong = 0
		for case in open(sys.argv[2]).read().split("\n## ")[1:]:
		    title, _, rest = case.partition("\n")
		    text = "".join(l + "\n" for l in rest.split("\n") if not l.startswith("! "))
		    says = [l for l in rest.split("\n") if l.startswith("! ")]
		    try:
		        document = yaml.safe_load(text)
		    except yaml.YAMLError:
		        continue
		    fine = validator.is_valid(document)
		    if any(shape.search(s) for s in says):
		        wrong += 1
		        if fine:
		            sys.exit(f"{title}: the schema takes it")
		    elif not any(re.search(r"is missing|is empty|file is empty|is more than 4294967295|from 0 on|include:|not a size|is not [a-z0-9_]+, ", s) for s in says):
		        right += 1
		        if not fine:
		            sys.exit(f"{title}: the schema does not take it: {next(validator.iter_errors(document)).message}")
		print(f"# {right} right, {wrong} wrong")
		sys.exit(right < 50 or wrong < 20)
	P
}
