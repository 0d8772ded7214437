"""Verifies messages with dkimpy as they come, records asked of a resolver.

usage: verify_all.py ADDRESS PORT
Takes messages on standard input, each after a line with the selector that matters ("*": all) and the message's length in
octets. Prints a line for each signature: selector, algorithm, "pass" or "fail", and the reason, separated by tabs; then a
line with a dot.
"""

import sys

import dkim
import dns.resolver


def main():
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers = [sys.argv[1]]
    resolver.port = int(sys.argv[2])
    resolver.cache = None
    resolver.timeout = 5
    resolver.lifetime = 30
    said = []

    def look_up(name, timeout=5):
        name = name.decode() if isinstance(name, bytes) else name
        try:
            answer = resolver.resolve(name, "TXT", search=False)
            values = [b"".join(record.strings) for record in answer]
        except Exception as error:
            said.append(f"{type(error).__name__} for {name}")
            return None
        said.append(f"{len(values)} records of {name}: {values[0][:40]!r}")
        return values[0]

    while True:
        line = sys.stdin.buffer.readline()
        if not line:
            return
        wanted, length = line.split()
        octets = sys.stdin.buffer.read(int(length))
        fields = dkim.rfc822_parse(octets)[0]
        count = sum(1 for name, _ in fields if name.lower() == b"dkim-signature")
        for index in range(count):
            signature = [value for name, value in fields if name.lower() == b"dkim-signature"][index]
            tags = dkim.util.parse_tag_value(signature)
            if wanted not in (b"*", tags[b"s"]):
                continue
            said.clear()
            try:
                passed = dkim.DKIM(octets).verify(index, dnsfunc=look_up)
                reason = "" if passed else "the signature does not verify"
            except dkim.DKIMException as error:
                passed, reason = False, f"{type(error).__name__}: {error}"
            if not passed:
                reason = f"{reason}; {'; '.join(said)}"
            columns = [tags[b"s"].decode(), tags[b"a"].decode(), "pass" if passed else "fail", reason]
            print("\t".join(column.replace("\n", " ") for column in columns))
        print(".", flush=True)


main()
