"""Verifies messages with dkimpy, which asks the DNS of this machine for the keys.

usage: verify_in_dns.py MESSAGE...
Prints one line a signature: the message's number, selector, algorithm, "pass" or "fail", and the reason, separated by
tabs.
"""

import sys

import dkim


def main():
    for number, path in enumerate(sys.argv[1:]):
        with open(path, "rb") as message:
            octets = message.read()
        fields = dkim.rfc822_parse(octets)[0]
        count = sum(1 for name, _ in fields if name.lower() == b"dkim-signature")
        for index in range(count):
            verifier = dkim.DKIM(octets)
            try:
                outcome = "pass" if verifier.verify(index) else "fail"
                reason = ""
            except dkim.DKIMException as error:
                outcome, reason = "fail", f"{type(error).__name__}: {error}"
            tags = verifier.signature_fields or {}
            selector = tags.get(b"s", b"?").decode()
            algorithm = tags.get(b"a", b"?").decode()
            print(number, selector, algorithm, outcome, reason.replace("\n", " "), sep="\t")


main()
