"""Verifies messages with dkimpy, one process for all of them.

usage: verify.py RECORDS MESSAGE...
RECORDS has one line a record, name, blank, value. Prints one line a signature: the message's number, selector,
algorithm, "pass" or "fail", and the reason, separated by tabs.
"""

import sys

import dkim


def main():
    records = {}
    with open(sys.argv[1], "rb") as lines:
        for line in lines:
            name, _, value = line.rstrip(b"\n").partition(b" ")
            records[name.lower().rstrip(b".")] = value

    def look_up(name, timeout=5):
        name = name if isinstance(name, bytes) else name.encode()
        return records.get(name.lower().rstrip(b"."))

    for number, path in enumerate(sys.argv[2:]):
        with open(path, "rb") as message:
            octets = message.read()
        fields = dkim.rfc822_parse(octets)[0]
        count = sum(1 for name, _ in fields if name.lower() == b"dkim-signature")
        for index in range(count):
            verifier = dkim.DKIM(octets)
            try:
                outcome = "pass" if verifier.verify(index, dnsfunc=look_up) else "fail"
                reason = ""
            except dkim.DKIMException as error:
                outcome, reason = "fail", f"{type(error).__name__}: {error}"
            tags = verifier.signature_fields or {}
            selector = tags.get(b"s", b"?").decode()
            algorithm = tags.get(b"a", b"?").decode()
            print(number, selector, algorithm, outcome, reason.replace("\n", " "), sep="\t")


main()
