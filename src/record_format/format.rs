//! The forms of records.

use std::fmt;
use std::io::{self, Write};

use super::{
    PublishedRecord, Zones, bind, cloudflare, dnscontrol, json, nsupdate, octodns, plain, powerdns, route53, terraform,
    tinydns,
};

/// The forms of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum RecordFormat {
    /// Lines of a zone file (RFC 1035 §5.1).
    #[default]
    Bind,
    /// Name, type, TTL and value, each in one line, for web forms.
    Plain,
    /// Commands of nsupdate (RFC 2136).
    Nsupdate,
    /// Lines of the data file of tinydns.
    Tinydns,
    /// Bodies of PowerDNS' HTTP API.
    Powerdns,
    /// Bodies of Cloudflare's API.
    Cloudflare,
    /// Change batches of Amazon Route 53.
    Route53,
    /// HCL for Terraform and OpenTofu.
    Terraform,
    /// Zone files of octoDNS, in YAML.
    Octodns,
    /// JavaScript for DNSControl.
    Dnscontrol,
    /// An array of objects.
    Json,
}

impl RecordFormat {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Bind,
        Self::Plain,
        Self::Nsupdate,
        Self::Tinydns,
        Self::Powerdns,
        Self::Cloudflare,
        Self::Route53,
        Self::Terraform,
        Self::Octodns,
        Self::Dnscontrol,
        Self::Json,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bind => "bind",
            Self::Plain => "plain",
            Self::Nsupdate => "nsupdate",
            Self::Tinydns => "tinydns",
            Self::Powerdns => "powerdns",
            Self::Cloudflare => "cloudflare",
            Self::Route53 => "route53",
            Self::Terraform => "terraform",
            Self::Octodns => "octodns",
            Self::Dnscontrol => "dnscontrol",
            Self::Json => "json",
        }
    }

    /// What it is, in a few words.
    pub fn description(self) -> &'static str {
        match self {
            Self::Bind => "A line of a zone file, the value in quoted strings of at most 255 octets",
            Self::Plain => "Name and value alone, each in one line, for web forms",
            Self::Nsupdate => "Commands for nsupdate, an update for each domain",
            Self::Tinydns => "A line of tinydns' data file",
            Self::Powerdns => "Bodies for PATCH of a zone in PowerDNS' API",
            Self::Cloudflare => "Bodies for a batch of records in Cloudflare's API",
            Self::Route53 => "Change batches of Amazon Route 53",
            Self::Terraform => "Terraform or OpenTofu, with the dns provider",
            Self::Octodns => "octoDNS: a YAML document for each zone",
            Self::Dnscontrol => "DNSControl: D_EXTEND for each zone",
            Self::Json => "An array of objects with name, type, ttl, value, domain, selector, algorithm",
        }
    }
}

impl fmt::Display for RecordFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Writes records as one document.
///
/// # Errors
/// Those of `out`.
pub fn write(records: &[PublishedRecord], format: RecordFormat, zones: &Zones, out: &mut dyn Write) -> io::Result<()> {
    match format {
        RecordFormat::Bind => bind::write_bind(out, records),
        RecordFormat::Plain => plain::write(records, out),
        RecordFormat::Nsupdate => nsupdate::write(records, zones, out),
        RecordFormat::Tinydns => tinydns::write(records, out),
        RecordFormat::Powerdns => powerdns::write(records, zones, out),
        RecordFormat::Cloudflare => cloudflare::write(records, zones, out),
        RecordFormat::Route53 => route53::write(records, zones, out),
        RecordFormat::Terraform => terraform::write(records, zones, out),
        RecordFormat::Octodns => octodns::write(records, zones, out),
        RecordFormat::Dnscontrol => dnscontrol::write(records, zones, out),
        RecordFormat::Json => json::write(records, out),
    }
}
