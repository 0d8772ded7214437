//! The scripts of docs/publishing.md, run as they stand: against BIND on port 53, in namespaces that nobody else sees.

use std::path::Path;
use std::process::Command;

use crate::support::{Scratch, need_root};

/// A block of this language in a section of the page.
fn block(heading: &str, language: &str) -> String {
    let page = include_str!("../../docs/publishing.md");
    let section = page.split("\n## ").find(|section| section.starts_with(&format!("{heading}\n")));
    let section = section.unwrap_or_else(|| panic!("docs/publishing.md has no section {heading:?}"));
    let (_, rest) = section.split_once(&format!("\n```{language}\n")).unwrap_or_else(|| panic!("no {language}"));
    rest.split_once("\n```").unwrap().0.to_owned() + "\n"
}

/// A machine of its own: loopback with the address of the examples, empty directories where programs keep what is theirs.
/// `$1` has the pieces of the page, `$2` is `waxseal`.
const MACHINE: &str = r#"
set -eu
pieces=$1 waxseal=$2
ip link set lo up
ip address add 192.0.2.1/32 dev lo
mount -t tmpfs -o mode=0755 tmpfs /mnt
cp -a /etc /mnt/etc
mount --bind /mnt/etc /etc
for empty in /run /var/lib /var/cache /usr/local; do mount -t tmpfs -o mode=0755 tmpfs $empty; done
mkdir -p /run/named /var/lib/bind /var/lib/waxseal /var/cache/bind /usr/local/sbin /usr/local/lib/waxseal /etc/waxseal
rm -f /etc/bind/rndc.key
rndc-confgen -a >/dev/null 2>&1
named() {
    printf 'options { directory "/var/cache/bind"; listen-on { 127.0.0.1; 192.0.2.1; }; listen-on-v6 { none; };
        recursion no; dnssec-validation no; notify no; };\nzone "example.test" { type primary;
        file "/var/lib/bind/example.test.zone"; %s };\n' "$1" >/etc/bind/named.conf
    /usr/sbin/named -g -n 1 -c /etc/bind/named.conf >/run/named.log 2>&1 &
    server=$!
    trap 'kill $server; wait $server || :; tail -n 40 /run/named.log >&2' EXIT
    for attempt in $(seq 100); do [ -n "$(serial)" ] && return; sleep 0.1; done
    exit 1
}
serial() { dig @192.0.2.1 +tcp +short +tries=1 +time=1 example.test SOA 2>/dev/null | cut -d' ' -f3; }
waxseal() { "$waxseal" --color never --config /etc/waxseal/waxseal.toml "$@"; }
"$waxseal" init --yes --dir /etc/waxseal example.test >/dev/null
cat "$pieces/publisher.toml" >>/etc/waxseal/waxseal.toml
publish() { waxseal publish --yes --servers 192.0.2.1 example.test; }
"#;

/// The serial rises with each change, also with several in one second, and if it is a date with a number, which is more than
/// the seconds since 1970.
const INCLUDED: &str = r#"
install -m 0755 "$pieces/reload-zone" /usr/local/sbin/reload-zone
rising() {
    : >/var/lib/waxseal/example.test.include
    { printf '$TTL 3600\n%s\n@ NS ns1\nns1 A 192.0.2.1\n' "$1"; cat "$pieces/include"; } >/var/lib/bind/example.test.zone
    touch -d '+1 minute' /var/lib/bind/example.test.zone
    rndc reload example.test >/dev/null 2>&1 || named ''
    before=$2
    for attempt in $(seq 50); do [ "$(serial)" = "$before" ] && break; sleep 0.1; done
    [ "$(serial)" = "$before" ]
    publish
    after=$(serial)
    echo "serial $before then $after"
    [ "$after" -gt "$before" ]
    publish | grep -c 'was published already' | grep -qx 2
    [ "$(serial)" = "$after" ]
}
rising '@ IN SOA ns1.example.test. hostmaster.example.test. 1 7200 900 1209600 3600' 1
rising '@ 3600 IN SOA ns1 hostmaster ( 2026112399
    7200 900 1209600 3600 )' 2026112399
# Two at once, and another: each raises it.
before=$(serial)
/usr/local/sbin/reload-zone example.test >/dev/null &
first=$!
/usr/local/sbin/reload-zone example.test >/dev/null
wait $first
/usr/local/sbin/reload-zone example.test >/dev/null
for attempt in $(seq 50); do [ "$(serial)" -ge $((before + 3)) ] && break; sleep 0.1; done
echo "serial $before then $(serial)"
[ "$(serial)" -ge $((before + 3)) ]
"#;

/// A program that publishes: what it did, did again, and leaves alone.
const HOOKED: &str = r#"
install -m 0755 "$pieces/publish" /usr/local/lib/waxseal/publish
printf '$TTL 3600\n@ IN SOA ns1 hostmaster 1 7200 900 1209600 3600\n@ NS ns1\nns1 A 192.0.2.1\n' >/var/lib/bind/example.test.zone
named 'update-policy local;'
publish
publish | grep -c 'was published already' | grep -qx 2
tell() { set +e; printf '%s\n' "$1" | /usr/local/lib/waxseal/publish; echo "exit $?"; set -e; }
task() { printf '{"action":"%s","name":"k._domainkey.example.test","type":"TXT","ttl":60,"value":"%s","old_value":"%s"}' "$@"; }
long=v=DKIM1\;p=$(printf 'A%.0s' $(seq 400))
for step in "present $long - 0" "present $long - 10" "present other - 11" "replace p= other 11" "replace p= $long 0" \
    "replace p= $long 10" "absent $long - 11" "absent p= - 0" "absent p= - 10"; do
    set -- $step
    said=$(tell "$(task "$1" "$2" "$3")")
    echo "$1: $(echo "$said" | tail -n 1)"
    [ "$(echo "$said" | tail -n 1)" = "exit $4" ]
done
"#;

fn run_as_documented(pieces: &Scratch, script: &str) -> String {
    need_root();
    let output = Command::new("unshare")
        .args(["--mount", "--net", "bash", "-c", &format!("{MACHINE}{script}"), "bash"])
        .arg(pieces.path())
        .arg(Path::new(env!("CARGO_BIN_EXE_waxseal")))
        .env_remove("CREDENTIALS_DIRECTORY")
        .output()
        .expect("unshare is missing: run tests/run-all, or install Debian's package util-linux");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    said
}

#[test]
#[ignore = "needs root and BIND; tests/run-all installs it"]
fn the_reload_script_raises_the_serial_each_time() {
    let pieces = Scratch::new("documented");
    let heading = "A file that the zone includes";
    pieces.write("reload-zone", block(heading, "sh"));
    pieces.write("publisher.toml", block(heading, "toml"));
    pieces.write("include", block(heading, ""));
    run_as_documented(&pieces, INCLUDED);
}

#[test]
#[ignore = "needs root, BIND and nsupdate; tests/run-all installs them"]
fn the_program_that_publishes_does_what_it_is_told_and_no_more() {
    let pieces = Scratch::new("documented");
    pieces.write("publish", block("A program", "python"));
    pieces.write("publisher.toml", block("A program", "toml"));
    run_as_documented(&pieces, HOOKED);
}
