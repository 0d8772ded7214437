//! The data file of tinydns (djbdns).

use std::io::{self, Write};

use super::PublishedRecord;

/// The number of the type TXT (RFC 1035 §3.2.2).
const TXT: u16 = 16;

/// A line of the generic form for each record. The form for TXT would cut the value every 127 octets.
pub(super) fn write(records: &[PublishedRecord], out: &mut dyn Write) -> io::Result<()> {
    for record in records {
        write!(out, ":{}:{TXT}:", record.name)?;
        for string in &record.strings {
            write!(out, "\\{:03o}", string.len())?;
            for octet in string.bytes() {
                write_octet(out, octet)?;
            }
        }
        writeln!(out, ":{}", record.ttl)?;
    }
    Ok(())
}

/// Colons end a field, backslashes begin an octal number; blanks at the end of a line would be lost.
fn write_octet(out: &mut dyn Write, octet: u8) -> io::Result<()> {
    match octet {
        b':' | b'\\' => write!(out, "\\{octet:03o}"),
        b'!'..=b'~' => out.write_all(&[octet]),
        other => write!(out, "\\{other:03o}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_a_field_or_begins_a_number_is_octal() {
        let mut out = Vec::new();
        "a:b\\c;d \n\u{7f}".bytes().try_for_each(|octet| write_octet(&mut out, octet)).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "a\\072b\\134c;d\\040\\012\\177");
    }
}
