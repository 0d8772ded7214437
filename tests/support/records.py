"""Reads key records with dkimpy, as it does when it verifies.

Standard input has one record a line, in hexadecimal. Prints one line each: "accepted" or "rejected", a tab, the reason.
"""

import sys

import dkim


def main():
    for line in sys.stdin:
        record = bytes.fromhex(line.strip())
        try:
            key, bits, kind, _ = dkim.evaluate_pk(b"record", record)
            if kind == b"rsa" and bits < 1024:
                raise dkim.KeyFormatError(f"{bits} bits: fewer than the 1024 it verifies with")
            print("accepted", "", sep="\t")
        except Exception as error:
            reason = f"{type(error).__name__}: {error}".encode("ascii", "backslashreplace").decode()
            print("rejected", " ".join(reason.split())[:120], sep="\t")


main()
