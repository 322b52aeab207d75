#!/bin/sh
# Throws generated requests at every operation that /openapi.json describes, as each role of a demo company and as an
# operator, and fails on a 5xx or on an answer that the document does not describe. Needs Python 3.10 or newer; the rest
# is installed below target/. Everything it starts, it stops; the data is thrown away.
#   tests/schemathesis.sh [ROLE…]      default: owner admin manager sales1 operator
set -eu
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-target}
work=$target/schemathesis
examples=${SCHEMATHESIS_EXAMPLES:-20}
[ $# -gt 0 ] || set -- owner admin manager sales1 operator

mkdir -p "$work"
python=$work/venv/bin/python
if ! [ -x "$work/venv/bin/schemathesis" ]; then
    python3 -m venv "$work/venv"
    "$work/venv/bin/pip" install --quiet 'schemathesis==4.32.5' 'openapi-spec-validator==0.9.0'
fi
cargo build --locked --bin insula

data=$(mktemp -d "${TMPDIR:-/tmp}/insula-schemathesis.XXXXXX")
ready=$work/ready.json
service=''
stop() {
    [ -z "$service" ] || kill -INT "$service" 2>/dev/null || :
    [ -z "$service" ] || wait "$service" 2>/dev/null || :
    service=''
    [ ! -d "$data/dev" ] || "$target/debug/insula" dev --data-dir "$data/dev" reset --yes >/dev/null 2>&1 || :
}
finish() {
    stop
    rm -rf "$data"
}
trap finish EXIT
trap 'exit 130' INT TERM

# A demo of its own for each role: what an owner changes, such as the rights of others, is no business of the next.
start() {
    rm -f "$ready"
    INSULA_AUTH_ACCESS_TOKEN_SECONDS=3600 INSULA_LIMITS_TENANT_PER_MINUTE=0 INSULA_LIMITS_KEY_PER_MINUTE=0 \
        INSULA_LIMITS_SIGN_IN_PER_MINUTE=0 "$target/debug/insula" dev --ops-listen 127.0.0.1:0 --listen 127.0.0.1:0 \
        --data-dir "$data/dev" --ready-file "$ready" >"$work/insula.log" 2>&1 &
    service=$!
    tries=0
    until [ -f "$ready" ]; do
        tries=$((tries + 1))
        if [ "$tries" -gt 120 ] || ! kill -0 "$service" 2>/dev/null; then
            cat "$work/insula.log" >&2
            exit 1
        fi
        sleep 1
    done
    port=$("$python" -c 'import json, sys; print(json.load(open(sys.argv[1]))["port"])' "$ready")
    base=http://127.0.0.1:$port
    ops=$("$python" -c 'import json, sys; print(json.load(open(sys.argv[1]))["ops_url"])' "$ready")
}

# A token of a demo user on a host, with the demo's password.
token() {
    curl -sS --fail "$base/api/v1/auth/login" -H "Host: $1" -H 'Content-Type: application/json' \
        -d "{\"email\": \"$2\", \"password\": \"insula-demo\"}" |
        "$python" -c 'import json, sys; print(json.load(sys.stdin)["access_token"])'
}

# What was answered: a run that was signed out, and then refused everything, is not a good one. Signing out and taking
# rights away are left to the tests.
answers() {
    curl -sS --fail "$ops/metrics" | "$python" -c '
import collections, re, sys
answers = collections.Counter()
for status, count in re.findall(r"^insula_http_requests_total\{.*status=\"(\d+)\".*\} (\d+)", sys.stdin.read(), re.M):
    answers[status] += int(count)
print("Answers:", ", ".join(f"{count} x {status}" for status, count in sorted(answers.items())))
if answers["401"] * 2 > sum(answers.values()):
    sys.exit("most requests were not signed in")'
}

failed=''
for role in "$@"; do
    start
    case $role in
    operator) host=admin.localhost:$port email=operator@insula.test ;;
    *) host=acme.localhost:$port email=$role@acme.test ;;
    esac
    bearer="Authorization: Bearer $(token "$host" "$email")"
    document=$work/$role.json
    curl -sS --fail "$base/openapi.json" -H "Host: $host" -H "$bearer" >"$document"
    "$work/venv/bin/openapi-spec-validator" "$document"
    "$work/venv/bin/schemathesis" run "$document" --url "$base" --header "Host: $host" --header "$bearer" \
        --checks not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance \
        --exclude-path-regex '/auth/logout|/grants$|/actions/(set_roles|transfer_ownership|deactivate)$' \
        --phases examples,coverage,fuzzing --max-examples "$examples" --generation-deterministic --continue-on-failure \
        --suppress-health-check all --warnings off --workers 2 --request-timeout 30 --no-color \
        >"$work/$role.log" 2>&1 || failed="$failed $role"
    tail -n 25 "$work/$role.log"
    answers || failed="$failed $role"
    stop
done
[ -z "$failed" ] || { echo "failed as:$failed (see $work/<role>.log)" >&2; exit 1; }
