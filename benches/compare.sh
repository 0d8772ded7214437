#!/usr/bin/env bash
# Runs waxseald and OpenDKIM on the same work, one after the other on this machine, and prints a Markdown table.
#
#   benches/compare.sh [waxseald] [opendkim]      both, if none is named
#
# Needs opendkim, openssl, jq and perl; about 15 minutes for both. Progress goes to standard error, the table to standard
# output. The dialogue is Postfix's: 12 header fields with macros before each, a Unix socket, 10 connections. CPU is the
# daemon's user and system time for each message. From the environment:
#
#   DOMAINS=100000   domains of the large store         KEYS=1000    distinct keys in it
#   SCALE=1          multiplies the number of messages  PORT=18891   two free TCP ports from here on
#   TARGET=target/release                               where waxseal and waxseald are
set -euo pipefail

DOMAINS=${DOMAINS:-100000}
KEYS=${KEYS:-1000}
SCALE=${SCALE:-1}
PORT=${PORT:-18891}
TARGET=${TARGET:-target/release}

subjects=("$@")
if [ ${#subjects[@]} -eq 0 ]; then subjects=(waxseald opendkim); fi

cd "$(dirname "$0")/.."
work=$(mktemp -d)
daemon=
declare -A result

say() { echo "compare: $*" >&2; }
fail() {
    say "$*"
    exit 2
}

finish() {
    stop
    rm -rf "$work"
}
trap finish EXIT

need() { command -v "$1" > /dev/null || fail "$1 is not installed; try: apt-get install $2"; }

stop() {
    if [ -n "$daemon" ]; then
        kill "$daemon" 2> /dev/null || true
        wait "$daemon" 2> /dev/null || true
        daemon=
    fi
}

# ---- the load -------------------------------------------------------------------------------------------------------

# bench SOCKET OPTION...: runs the load tool against the running daemon; its report is in $work/report.
bench() {
    local socket=$1
    shift
    "$TARGET/waxseal" bench milter --connect "$socket" --pid "$daemon" --format json "$@" > "$work/report" || true
    local lost
    lost=$(field .lost)
    if [ "$lost" != 0 ]; then say "$lost messages were lost: $(field .first_problem)"; fi
}

# field JQ_PATH: a value of the last report.
field() { jq -r "$1 // 0" "$work/report"; }

# expect_signed: the last run is worth nothing if it did other work than it should.
expect_signed() {
    if [ "$(field .signed)" != "$(field .messages)" ]; then
        fail "not all messages were signed: $(jq -c '{signed, unsigned, deferred, refused, lost, first_reply}' "$work/report")"
    fi
}

# messages N: that many, or more or fewer as SCALE says.
messages() { awk -v n="$1" -v scale="$SCALE" 'BEGIN { n = int(n * scale); print n < 10 ? 10 : n }'; }

cpu() { printf '%.0f µs' "$(field .process.cpu_microseconds_per_message)"; }
milliseconds() { awk -v us="$1" 'BEGIN { printf "%.2f ms", us / 1000 }'; }
mebibytes() { awk -v octets="$1" 'BEGIN { printf "%.1f MiB", octets / 1048576 }'; }

# ---- keys and configurations, made once -----------------------------------------------------------------------------

make_small() {
    case $1 in
    waxseald)
        local algorithm
        for algorithm in rsa ed25519; do
            "$TARGET/waxseal" init --dir "$work/wax-$algorithm" --yes --algorithm "$algorithm" example.com > /dev/null
            waxseal_config "$work/wax-$algorithm"
            "$TARGET/waxseal" --config "$work/wax-$algorithm/waxseal.toml" activate --yes example.com > /dev/null
        done
        ;;
    opendkim)
        openssl genrsa -out "$work/rsa.pem" 2048 2> /dev/null
        openssl genpkey -algorithm ed25519 -out "$work/ed25519.pem"
        chmod 600 "$work"/*.pem
        opendkim_config rsa "Domain example.com" "Selector s" "KeyFile $work/rsa.pem"
        opendkim_config ed25519 "Domain example.com" "Selector s" "KeyFile $work/ed25519.pem" \
            "SignatureAlgorithm ed25519-sha256"
        ;;
    esac
}

# The same addresses for both: user@d0.example and so on.
make_addresses() {
    perl -e 'print "user\@d$_.example\n" for 0 .. $ARGV[0] - 1' "$DOMAINS" > "$work/addresses"
}

make_large() {
    say "$1: making a store of $DOMAINS domains with $KEYS keys"
    case $1 in
    waxseald)
        local config=$work/wax-large/waxseal.toml
        "$TARGET/waxseal" init --dir "$work/wax-large" --yes --algorithm rsa d0.example > /dev/null
        waxseal_config "$work/wax-large"
        seq 1 $((KEYS - 1)) | sed 's/.*/d&.example/' |
            xargs -r -n 100 "$TARGET/waxseal" --config "$config" generate --algorithm rsa > /dev/null
        seq 0 $((KEYS - 1)) | sed 's/.*/d&.example/' |
            xargs -r -n 100 "$TARGET/waxseal" --config "$config" activate --yes > /dev/null
        copy_domains "$work/wax-large/keys/domains"
        ;;
    opendkim)
        mkdir -m 700 "$work/od-keys"
        seq 0 $((KEYS - 1)) |
            xargs -P "$(nproc)" -I{} openssl genrsa -out "$work/od-keys/{}.pem" 2048 2> /dev/null
        chmod 600 "$work"/od-keys/*.pem
        perl -e 'for (0 .. $ARGV[0] - 1) { my $k = $_ % $ARGV[1]; print "d$_.example d$_.example:s:$ARGV[2]/$k.pem\n" }' \
            "$DOMAINS" "$KEYS" "$work/od-keys" > "$work/key-table"
        perl -e 'print "d$_.example d$_.example\n" for 0 .. $ARGV[0] - 1' "$DOMAINS" > "$work/signing-table"
        opendkim_config large "KeyTable file:$work/key-table" "SigningTable file:$work/signing-table"
        ;;
    esac
}

# Domains beyond the first KEYS are copies: the manifest with another name, the key as a hard link.
copy_domains() {
    perl -e '
        use strict;
        my ($root, $domains, $keys) = @ARGV;
        chdir $root or die "$root: $!";
        umask 0;
        for my $n ($keys .. $domains - 1) {
            my ($old, $new) = ("d" . $n % $keys . ".example", "d$n.example");
            my @stat = stat $old or die "$old: $!";
            mkdir $new, $stat[2] & 07777 or die "$new: $!";
            chmod $stat[2] & 07777, $new;
            chown $stat[4], $stat[5], $new;
            for my $path (glob "$old/*") {
                (my $copy = $path) =~ s/^\Q$old\E/$new/;
                if ($path !~ /manifest\.json$/) { link $path, $copy or die "$copy: $!"; next }
                open my $in, "<", $path or die "$path: $!";
                my $text = do { local $/; <$in> };
                $text =~ s/"domain":\s*"\Q$old\E"/"domain": "$new"/ or die "$path names no domain";
                open my $out, ">", $copy or die "$copy: $!";
                print $out $text;
                close $out or die "$copy: $!";
                my @mode = stat $path;
                chmod $mode[2] & 07777, $copy;
                chown $mode[4], $mode[5], $copy;
            }
        }' "$1" "$DOMAINS" "$KEYS"
}

waxseal_config() {
    cat > "$1/waxseal.toml" << CONFIG
version = 1
[[listener]]
socket = "unix:$work/milter.sock"
[[listener]]
socket = "inet:$PORT@127.0.0.1"
[keys]
store = "keys"
cache = "2 GiB"
[limits]
connections = 16000
[log]
target = "stderr"
CONFIG
}

opendkim_config() {
    local name=$1
    shift
    {
        printf '%s\n' "$@"
        cat << CONFIG
Canonicalization relaxed/relaxed
OversignHeaders From
Mode s
RequireSafeKeys no
Syslog no
CONFIG
    } > "$work/od-$name.conf"
}

# ---- the daemons ----------------------------------------------------------------------------------------------------

# start SUBJECT STORE [tcp]: afresh, with one of the stores; does not wait.
start() {
    stop
    rm -f "$work/milter.sock"
    case $1 in
    waxseald) "$TARGET/waxseald" --config "$work/wax-$2/waxseal.toml" > "$work/log" 2>&1 & ;;
    opendkim)
        local socket=local:$work/milter.sock
        if [ "${3-}" = tcp ]; then socket=inet:$PORT@127.0.0.1; fi
        opendkim -f -x "$work/od-$2.conf" -p "$socket" > "$work/log" 2>&1 &
        ;;
    esac
    daemon=$!
}

# wait_ready SOCKET ADDRESS: until a message is signed.
wait_ready() {
    local attempt
    for attempt in $(seq 1 3000); do
        if "$TARGET/waxseal" bench milter --connect "$1" --messages 1 --connections 1 --from "$2" --format json \
            > "$work/ready" 2> /dev/null && [ "$(jq .signed "$work/ready")" = 1 ]; then
            return
        fi
        kill -0 "$daemon" 2> /dev/null || fail "the daemon ended: $(tail -3 "$work/log")"
        sleep 0.005
    done
    fail "the daemon signed nothing after $attempt attempts: $(tail -3 "$work/log")"
}

run() {
    start "$@"
    if [ "${3-}" = tcp ]; then socket=inet:$PORT@127.0.0.1; else socket=unix:$work/milter.sock; fi
    local address=bench@example.com
    if [ "$2" = large ]; then address=user@d0.example; fi
    wait_ready "$socket" "$address"
}

# ---- the rows -------------------------------------------------------------------------------------------------------

rows=(
    "RSA-2048, 2 KB" "RSA-2048, 2 KB, one message a connection" "Ed25519, 2 KB" "not ours to sign, 2 KB" "RSA-2048, 50 KB"
    "RSA-2048, 5 MB of text" "many domains, RSA, in turn, first time" "many domains, RSA, in turn, again"
    "end of message over loopback TCP, p50" "peak memory over idle, 100 connections x 10 MB" "an idle connection"
    "p99 of 10 busy connections" "p99 of 10 busy connections beside 10,000 idle"
    "ready to sign after start with many domains" "p99.9 at a steady rate, many domains" "the same while reloading"
    "lost or deferred while reloading" "key look-ups answered from memory, many domains"
)

# measure SUBJECT: fills in every row.
measure() {
    local subject=$1 socket
    make_small "$subject"

    say "$subject: cost of messages"
    run "$subject" rsa
    bench "$socket" --messages "$(messages 1000)"
    # The machine may change its pace: one signature alone is timed right before the row it is held against, and after.
    if [ "$subject" = waxseald ]; then raw=$(raw_signature); fi
    bench "$socket" --messages "$(messages 10000)"
    expect_signed
    result["$subject,${rows[0]}"]=$(cpu)
    if [ "$subject" = waxseald ]; then raw="$raw before, $(raw_signature) after"; fi
    bench "$socket" --messages "$(messages 10000)" --per-connection 1
    expect_signed
    result["$subject,${rows[1]}"]=$(cpu)
    bench "$socket" --messages "$(messages 20000)" --not-ours
    result["$subject,${rows[3]}"]=$(cpu)
    bench "$socket" --messages "$(messages 5000)" --size 50000
    expect_signed
    result["$subject,${rows[4]}"]=$(cpu)
    bench "$socket" --messages "$(messages 300)" --size 5000000
    expect_signed
    result["$subject,${rows[5]}"]=$(cpu)

    run "$subject" ed25519
    bench "$socket" --messages "$(messages 1000)"
    bench "$socket" --messages "$(messages 20000)"
    expect_signed
    result["$subject,${rows[2]}"]=$(cpu)

    say "$subject: latency over TCP"
    run "$subject" rsa tcp
    bench "$socket" --messages "$(messages 300)" --connections 1
    expect_signed
    result["$subject,${rows[8]}"]=$(milliseconds "$(field .end_of_message.p50)")

    say "$subject: memory"
    run "$subject" rsa
    bench "$socket" --messages "$(messages 300)"
    bench "$socket" --hold --connections 100 --size 10000000 --timeout 300
    expect_signed
    result["$subject,${rows[9]}"]=$(mebibytes "$(field .process.resident_peak_above_before)")

    say "$subject: idle connections"
    run "$subject" rsa
    bench "$socket" --messages "$(messages 5000)"
    result["$subject,${rows[11]}"]=$(milliseconds "$(field .end_of_message.p99)")
    bench "$socket" --messages "$(messages 5000)" --idle 10000 --timeout 120
    result["$subject,${rows[10]}"]="$(field .idle.octets_each) B"
    result["$subject,${rows[12]}"]=$(milliseconds "$(field .end_of_message.p99)")

    make_large "$subject"
    say "$subject: many domains"
    local begun
    stop
    begun=$(date +%s%N)
    run "$subject" large
    result["$subject,${rows[13]}"]="$((($(date +%s%N) - begun) / 1000000)) ms"
    # OpenDKIM keeps nothing; a tenth of the domains tells as much.
    local turns=$DOMAINS
    if [ "$subject" = opendkim ]; then turns=$(((DOMAINS + 9) / 10)); fi
    bench "$socket" --messages "$turns" --from-file "$work/addresses"
    expect_signed
    result["$subject,${rows[6]}"]=$(cpu)
    bench "$socket" --messages "$turns" --from-file "$work/addresses"
    expect_signed
    result["$subject,${rows[7]}"]=$(cpu)

    say "$subject: reloading"
    local signal=HUP
    # OpenDKIM ends on SIGHUP.
    if [ "$subject" = opendkim ]; then signal=USR1; fi
    local load=(--messages "$(messages 4000)" --rate 200 --from-file "$work/addresses")
    bench "$socket" "${load[@]}"
    result["$subject,${rows[14]}"]=$(milliseconds "$(field '.whole_message["p99.9"]')")
    (while sleep 2 && kill -"$signal" "$daemon" 2> /dev/null; do :; done) &
    local reloader=$!
    bench "$socket" "${load[@]}"
    kill "$reloader" 2> /dev/null || true
    wait "$reloader" 2> /dev/null || true
    result["$subject,${rows[15]}"]=$(milliseconds "$(field '.whole_message["p99.9"]')")
    result["$subject,${rows[16]}"]=$(($(field .lost) + $(field .deferred)))
    stop
    result["$subject,${rows[17]}"]=$(memory_share)
}

# memory_share: of the key look-ups that the daemon counts in its last line; OpenDKIM keeps no keys.
memory_share() {
    sed -n 's/.* stopped .*key_lookups=\([0-9]*\) key_lookups_from_memory=\([0-9]*\).*/\2 \1/p' "$work/log" |
        awk '{ found = 1; printf "%.1f %%", 100 * $1 / $2 } END { if (!found) printf "-" }'
}

# One signature alone, with the same library: what the first row is held against.
raw_signature() {
    cargo bench --quiet --bench signing -- key_alone 2> /dev/null |
        awk -F '│' '/rsa-2048/ { gsub(/^ +| +$/, "", $3); print $3; exit }'
}

# ---- all together ---------------------------------------------------------------------------------------------------

need jq jq
need perl perl
for subject in "${subjects[@]}"; do
    case $subject in
    waxseald) [ -x "$TARGET/waxseald" ] || fail "there is no $TARGET/waxseald; run: cargo build --release" ;;
    opendkim)
        need opendkim opendkim
        need openssl openssl
        ;;
    *) fail "$subject is not known; name waxseald or opendkim" ;;
    esac
done
[ -x "$TARGET/waxseal" ] || fail "there is no $TARGET/waxseal, which has the load tool; run: cargo build --release"
ulimit -n "$(ulimit -Hn)"

raw=
cargo bench --quiet --bench signing --no-run
make_addresses
for subject in "${subjects[@]}"; do measure "$subject"; done

echo "$(nproc) cores, $(awk -F ': ' '/model name/ { print $2; exit }' /proc/cpuinfo), $(date -u +%Y-%m-%d)." \
    "Many domains: $DOMAINS, with $KEYS keys."
if [ -n "$raw" ]; then echo "One RSA-2048 signature alone, with waxseald's library: $raw the first row."; fi
echo
header='| work |' rule='| --- |'
for subject in "${subjects[@]}"; do
    header+=" $subject |"
    rule+=' ---: |'
done
echo "$header"
echo "$rule"
for row in "${rows[@]}"; do
    line="| $row |"
    for subject in "${subjects[@]}"; do line+=" ${result["$subject,$row"]} |"; done
    echo "$line"
done
