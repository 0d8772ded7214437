//! What the forms for HTTP APIs share: an array of zones, each with the body of a request.

use std::io::{self, Write};

use serde::Serialize;

use crate::names::DomainName;

/// The body of one request, and the zone it is about.
#[derive(Serialize)]
pub(super) struct Request<B> {
    zone: DomainName,
    body: B,
}

impl<B: Serialize> Request<B> {
    pub(super) fn new(zone: DomainName, body: B) -> Self {
        Self { zone, body }
    }
}

pub(super) fn write<B: Serialize>(requests: &[Request<B>], out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, requests)?;
    writeln!(out)
}
