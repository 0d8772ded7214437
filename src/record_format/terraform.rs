//! HCL for Terraform and OpenTofu.

use std::io::{self, Write};

use super::quote::escaped;
use super::zones::relative;
use super::{PublishedRecord, Zones};

/// A map of all records, and one resource over it: `dns_txt_record_set` of the provider hashicorp/dns (RFC 2136), which
/// no vendor owns. For another provider the map stays and the resource is replaced.
pub(super) fn write(records: &[PublishedRecord], zones: &Zones, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "locals {{\n  dkim_records = {{")?;
    for record in records {
        let zone = zones.of(record);
        writeln!(out, "    {} = {{", string(&record.name))?;
        writeln!(out, "      zone = {}", string(&format!("{zone}.")))?;
        writeln!(out, "      name = {}", string(relative(record, &zone)))?;
        writeln!(out, "      ttl  = {}", record.ttl)?;
        // The provider puts it between the quotes of a zone file, and cuts it every 255 octets.
        writeln!(out, "      text = {}", string(&escaped(&record.value)))?;
        writeln!(out, "    }}")?;
    }
    writeln!(out, "  }}\n}}\n\nresource \"dns_txt_record_set\" \"dkim\" {{\n  for_each = local.dkim_records\n")?;
    writeln!(out, "  zone = each.value.zone\n  name = each.value.name\n  ttl  = each.value.ttl")?;
    writeln!(out, "  txt  = [each.value.text]\n}}")
}

/// A quoted template of HCL without any template in it. The text is printable ASCII.
fn string(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{}\"", text.replace("${", "$${").replace("%{", "%%{"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_template_and_no_quote_gets_through() {
        assert_eq!(string(r#"${a} %{b} $c %d"#), r#""$${a} %%{b} $c %d""#);
        assert_eq!(string(r#"a"b\"#), r#""a\"b\\""#);
        // Read as a dollar and an escaped template.
        assert_eq!(string("$${a}"), "\"$$${a}\"");
    }
}
