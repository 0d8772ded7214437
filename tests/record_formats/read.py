"""Reads records back with the parsers of others.

    read.py FORMAT FILE [ARGUMENTS...]

Prints a JSON object: each name, without the final dot, with its TTL and the octets of its value in hexadecimal.
"""

import json
import logging
import re
import sys
import urllib.request

import dns.message
import dns.query
import dns.rdata
import dns.zone

logging.disable(logging.WARNING)
found = {}


def add(name, ttl, rdata):
    name = name.rstrip(".")
    assert name not in found, f"{name} has two records"
    assert all(len(string) <= 255 for string in rdata.strings)
    found[name] = [ttl, b"".join(rdata.strings).hex()]


def text(presentation):
    return dns.rdata.from_text("IN", "TXT", presentation)


def bind(path, origin):
    """What named-checkzone has written."""
    zone = dns.zone.from_file(path, origin, relativize=False, check_origin=False)
    for name, ttl, rdata in zone.iterate_rdatas("TXT"):
        add(name.to_text(), ttl, rdata)


def ask(address, port, names):
    for name in names:
        answer = dns.query.tcp(dns.message.make_query(name, "TXT"), address, port=int(port), timeout=5)
        for rrset in answer.answer:
            for rdata in rrset:
                add(rrset.name.to_text(), rrset.ttl, rdata)


def patch(path, url, key):
    """Sends each body to the zone's address."""
    for request in json.load(open(path)):
        body = json.dumps(request["body"]).encode()
        call = urllib.request.Request(f"{url}/{request['zone']}.", body, {"X-API-Key": key}, method="PATCH")
        assert urllib.request.urlopen(call, timeout=10).status == 204


def cloudflare(path):
    for request in json.load(open(path)):
        for post in request["body"]["posts"]:
            assert post["type"] == "TXT" and post["name"].endswith(request["zone"])
            add(post["name"], post["ttl"], text(post["content"]))


def route53(path):
    import botocore.session
    import botocore.validate

    model = botocore.session.get_session().get_service_model("route53")
    shape = model.operation_model("ChangeResourceRecordSets").input_shape
    # A backslash stands before three octal digits, or before what is meant as it is.
    decimal = lambda found: f"\\{int(found[1], 8):03}" if found[1] else found[0]
    octal = lambda value: re.sub(r"\\(?:([0-7]{3})|.)", decimal, value)
    for request in json.load(open(path)):
        parameters = {"HostedZoneId": "Z1", "ChangeBatch": request["body"]}
        report = botocore.validate.ParamValidator().validate(parameters, shape)
        assert not report.has_errors(), report.generate_report()
        for change in request["body"]["Changes"]:
            records = change["ResourceRecordSet"]
            assert change["Action"] == "UPSERT" and records["Name"].endswith(request["zone"] + ".")
            (value,) = (record["Value"] for record in records["ResourceRecords"])
            assert len(value) <= 4000
            add(records["Name"], records["TTL"], text(octal(value)))


def terraform(path):
    import hcl2

    def plain(literal):
        # What the parser leaves as it is: quotes, escapes, and templates that are none.
        assert re.fullmatch(r'"([^"\\]|\\.)*"', literal), literal
        assert not re.search(r"(?<![$])[$](?=[{])|(?<![%])%(?=[{])", literal), literal
        return re.sub(r"\\(.)", r"\1", literal[1:-1]).replace("$${", "${").replace("%%{", "%{")

    document = hcl2.load(open(path))
    (values,) = document["locals"]
    assert "dns_txt_record_set" in json.dumps(document["resource"])
    for name, record in values["dkim_records"].items():
        record = {key: plain(value) if isinstance(value, str) else value for key, value in record.items()}
        name = name.strip('"')
        assert f"{record['name']}.{record['zone']}" == f"{name}."
        # As the provider does: between quotes, cut every 255 octets.
        octets = b"".join(text('"' + part + '"').strings[0] for part in re.findall(r"(?:[^\\]|\\\d{3}|\\.)", record["text"]))
        found[name] = [record["ttl"], octets.hex()]


def octodns(path, zone):
    from octodns.provider.yaml import YamlProvider
    from octodns.zone import Zone

    provider = YamlProvider("config", path, escaped_semicolons=True)
    zone = Zone(f"{zone}.", [])
    provider.populate(zone)
    for record in zone.records:
        (value,) = record.chunked_values
        add(record.fqdn, record.ttl, text(value))


def documents(path):
    """The zones of a YAML stream, as PyYAML sees it."""
    import yaml

    for document in yaml.safe_load_all(open(path)):
        for name, record in document.items():
            found[name] = [record["ttl"], record["value"].replace("\\;", ";").replace("\\\\", "\\").encode().hex()]


match sys.argv[1:]:
    case ["bind", path, origin]:
        bind(path, origin)
    case ["ask", address, port, *names]:
        ask(address, port, names)
    case ["patch", path, url, key]:
        patch(path, url, key)
    case [form, *arguments]:
        {"cloudflare": cloudflare, "route53": route53, "terraform": terraform, "octodns": octodns, "yaml": documents}[form](
            *arguments
        )
json.dump(found, sys.stdout)
