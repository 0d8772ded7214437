//! The message set: what mail looks like, and what each MTA is known to do to it after its milters have seen it.

use std::fmt::Write;

/// The MTAs the set is sent through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mta {
    Postfix,
    Sendmail,
}

/// Which signatures a change breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Breaks {
    /// None: the change comes before the milters, or touches nothing signed.
    Nothing,
    /// Those with simple header canonicalisation; relaxed hides the change.
    SimpleHeader,
    /// All.
    Everything,
}

/// One known difference between what was sent and what is delivered.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) mta: Mta,
    pub(crate) reason: &'static str,
    pub(crate) breaks: Breaks,
    pub(crate) difference: Difference,
}

#[derive(Clone, Debug)]
pub(crate) enum Difference {
    /// Octets that arrive as other octets, wherever they stand.
    Replaced { sent: Vec<u8>, delivered: Vec<u8> },
    /// A field the MTA adds to the header.
    FieldAdded(&'static str),
}

/// One message of the set.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    /// Also the local part of its recipient, so that the sink knows it again.
    pub(crate) name: &'static str,
    pub(crate) sender: &'static str,
    pub(crate) octets: Vec<u8>,
    pub(crate) changes: Vec<Change>,
    /// Set where the other MTA does not take the message at all, with the reason.
    pub(crate) only: Option<(Mta, &'static str)>,
}

/// The domains the set's authors are in, as `waxseal init` takes them.
pub(crate) const DOMAINS: [&str; 2] = ["example.test", "xn--bcher-kva.test"];

const FROM: &str = "From: Ada Author <ada@example.test>\r\n";
const COMMON: &str = "To: bob@sink.test\r\n\
                      Date: Mon, 23 Nov 2026 10:00:00 +0000\r\n\
                      Message-ID: <20261123100000.1@example.test>\r\n";

impl Message {
    /// A message of the common fields, `fields`, and `body`.
    fn new(name: &'static str, fields: impl AsRef<[u8]>, body: impl AsRef<[u8]>) -> Self {
        let header = [FROM.as_bytes(), COMMON.as_bytes(), fields.as_ref()].concat();
        Self::raw(name, [&header, b"\r\n".as_slice(), body.as_ref()].concat())
    }

    /// A message of exactly these octets.
    fn raw(name: &'static str, octets: impl Into<Vec<u8>>) -> Self {
        Self { name, sender: "ada@example.test", octets: octets.into(), changes: Vec::new(), only: None }
    }

    fn change(mut self, mta: Mta, breaks: Breaks, sent: &str, delivered: &str, reason: &'static str) -> Self {
        let difference = Difference::Replaced { sent: sent.into(), delivered: delivered.into() };
        self.changes.push(Change { mta, reason, breaks, difference });
        self
    }

    fn added(mut self, mta: Mta, field: &'static str, reason: &'static str) -> Self {
        self.changes.push(Change { mta, reason, breaks: Breaks::Nothing, difference: Difference::FieldAdded(field) });
        self
    }

    fn only(mut self, mta: Mta, reason: &'static str) -> Self {
        self.only = Some((mta, reason));
        self
    }

    pub(crate) fn is_taken_by(&self, mta: Mta) -> bool {
        self.only.is_none_or(|(only, _)| only == mta)
    }

    pub(crate) fn changes_by(&self, mta: Mta) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(move |change| change.mta == mta)
    }
}

/// The whole set.
pub(crate) fn message_set() -> Vec<Message> {
    [plain(), encodings(), lines(), headers(), bodies(), structures(), rewritten_by_sendmail()].concat()
}

/// A message that a hop without 8BITMIME cannot take as it is; not of the set.
pub(crate) fn eight_bit_to_a_seven_bit_hop() -> Message {
    let fields = "Subject: Eight bits\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
                  Content-Transfer-Encoding: 8bit\r\n";
    let reason = "the next hop has no 8BITMIME: converted to quoted-printable after the milters";
    let encoding = ("Content-Transfer-Encoding: 8bit", "Content-Transfer-Encoding: quoted-printable");
    let body = ("Mostly plain text, and one Gruß.", "Mostly plain text, and one Gru=C3=9F.");
    let mut message = Message::new("seven-bit-hop", fields, format!("{}\r\n", body.0));
    for mta in [Mta::Postfix, Mta::Sendmail] {
        for (sent, delivered) in [encoding, body] {
            message = message.change(mta, Breaks::Everything, sent, delivered, reason);
        }
    }
    message.added(Mta::Sendmail, "X-MIME-Autoconverted", "the mark of the conversion; never signed")
}

fn plain() -> Vec<Message> {
    vec![
        Message::new("plain", "Subject: Plain\r\n", "Hello,\r\n\r\nthis is plain text.\r\n"),
        Message::raw(
            "minimal",
            "From: ada@example.test\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\nMessage-ID: <m@example.test>\r\n\r\nx\r\n",
        ),
    ]
}

fn encodings() -> Vec<Message> {
    let eight_bit =
        "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n";
    let latin1 = b"Subject: Latin-1\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=iso-8859-1\r\n\
                   Content-Transfer-Encoding: 8bit\r\n";
    let mut utf8 = Message::raw(
        "smtputf8",
        format!(
            "From: Jörg Büchner <jörg@bücher.test>\r\nTo: smtputf8@sink.test\r\nSubject: Grüße aus Köln 東京\r\n\
             Date: Mon, 23 Nov 2026 10:00:00 +0000\r\nMessage-ID: <u@xn--bcher-kva.test>\r\n{eight_bit}\r\nTschüß\r\n"
        ),
    );
    utf8.sender = "jörg@bücher.test";
    vec![
        Message::new("eight-bit", format!("Subject: Eight bits\r\n{eight_bit}"), "Grüße, 東京.\r\n"),
        Message::new("latin1", latin1, b"Gr\xfc\xdfe \xa0\xff\r\n"),
        Message::new("eight-bit-header", "Subject: Grüße ohne Kodierung\r\nX-Raw: \u{80}\r\n", "Body\r\n"),
        Message::new(
            "encoded-words",
            "Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe_aus?=\r\n =?utf-8?B?S8O2bG4=?=\r\n",
            "Body\r\n",
        ),
        utf8.only(Mta::Postfix, "Debian's Sendmail is built without SMTPUTF8"),
    ]
}

fn lines() -> Vec<Message> {
    let long = |length: usize| "0123456789".repeat(length / 10);
    vec![
        Message::new("line-of-980", "Subject: Just short enough\r\n", format!("{}\r\nend\r\n", long(980))),
        Message::new("long-body-line", "Subject: Long line\r\n", format!("{}\r\nend\r\n", long(1500)))
            .change(
                Mta::Postfix,
                Breaks::Everything,
                &long(1500),
                &format!("{}\r\n {}", &long(1500)[..998], &long(1500)[998..]),
                "smtp_line_length_limit splits lines over 998 octets after the milters",
            )
            .change(
                Mta::Sendmail,
                Breaks::Everything,
                &long(1500),
                &format!("{}!\r\n {}", &long(1500)[..989], &long(1500)[989..]),
                "the mailer's L=990 splits longer lines after the milters",
            ),
        Message::new("long-header-line", format!("Subject: {}\r\n", long(1200)), "Body\r\n")
            .change(
                Mta::Postfix,
                Breaks::Everything,
                &format!("Subject: {}", long(1200)),
                &format!("Subject: {}\r\n {}", &long(1200)[..989], &long(1200)[989..]),
                "smtp_line_length_limit splits lines over 998 octets after the milters",
            )
            .change(
                Mta::Sendmail,
                Breaks::Everything,
                &format!("Subject: {}", long(1200)),
                &format!("Subject: {}!\r\n {}", &long(1200)[..980], &long(1200)[980..]),
                "the mailer's L=990 splits longer lines after the milters",
            ),
        Message::new("bare-lf", "Subject: Bare\r\n", "one\ntwo\r\nthree\n\n")
            .change(
                Mta::Postfix,
                Breaks::Nothing,
                "one\ntwo\r\nthree\n\n",
                "one\r\ntwo\r\nthree\r\n\r\n",
                "a bare LF counts as a line end already in smtpd, before the milters",
            )
            .only(Mta::Postfix, "Debian's Sendmail refuses a bare LF with 421"),
        Message::new("bare-cr", "Subject: Bare\r\n", "one\rtwo\r\n")
            .change(
                Mta::Postfix,
                Breaks::Nothing,
                "one\rtwo\r\n",
                "one two\r\n",
                "cleanup_replace_stray_cr_lf, before the milters",
            )
            .only(Mta::Postfix, "Debian's Sendmail refuses a bare CR with 421"),
    ]
}

fn headers() -> Vec<Message> {
    let mut many = String::new();
    for number in 0..150 {
        write!(many, "X-Number-{number}: {number}\r\n").unwrap();
    }
    let mut references = String::from("References:");
    for number in 0..40 {
        write!(references, "\r\n <{number}.reference@example.test>").unwrap();
    }
    vec![
        Message::new("folded-with-tabs", "Subject: one\r\n\ttwo\r\n \t three\r\n\t\tfour\r\n", "Body\r\n"),
        Message::new(
            "trailing-blanks",
            "Subject: blanks  \t \r\nX-Empty:\r\nX-Blank: \r\n",
            "one \r\ntwo\t\r\n \t\r\nend\r\n",
        ),
        Message::new("inner-blanks", "Subject:    many    blanks\t\there\r\n", "a  b\t\tc\r\n"),
        Message::new(
            "no-space-after-colon",
            "Subject:tight\r\nX-Tight:1\r\nReply-To:<ada@example.test>\r\n",
            "Body\r\n",
        ),
        Message::new("odd-case", "SUBJECT: Odd case\r\nmime-version: 1.0\r\ncontent-TYPE: text/plain\r\n", "Body\r\n"),
        Message::new("duplicate-fields", "Subject: first\r\nSubject: second\r\nX-A: 1\r\nX-A: 2\r\n", "Body\r\n"),
        Message::new("many-fields", format!("{many}Subject: Many\r\n"), "Body\r\n"),
        Message::new(
            "long-references",
            format!("Subject: Re: Long\r\n{references}\r\nIn-Reply-To: <39@x.test>\r\n"),
            "B\r\n",
        ),
        Message::new(
            "list-headers",
            "Subject: [list] News\r\nList-Id: The list <list.example.test>\r\nList-Unsubscribe: <https://example.test/u>,\r\n\t\
             <mailto:u@example.test>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\nList-Post: NO\r\n\
             Precedence: list\r\nFeedback-ID: 1:2:3\r\n",
            "News\r\n",
        ),
        Message::new(
            "resent",
            "Subject: Resent\r\nResent-From: <ada@example.test>\r\nResent-To: <bob@sink.test>\r\n\
             Resent-Date: Mon, 23 Nov 2026 11:00:00 +0000\r\nResent-Message-ID: <r@example.test>\r\n",
            "Body\r\n",
        ),
        Message::new("sender-field", "Sender: <secretary@example.test>\r\nSubject: On behalf\r\n", "Body\r\n"),
        Message::raw(
            "missing-date-and-message-id",
            format!("{FROM}To: bob@sink.test\r\nSubject: Incomplete\r\n\r\nBody\r\n"),
        )
        .added(Mta::Postfix, "Date", "cleanup adds it, before the milters")
        .added(Mta::Postfix, "Message-Id", "cleanup adds it, before the milters")
        .added(Mta::Sendmail, "Date", "added after the milters; harmless while it is not oversigned as absent")
        .added(
            Mta::Sendmail,
            "Message-Id",
            "added after the milters; harmless while it is not oversigned as absent",
        ),
        {
            let (sent, delivered) = ("\r\nBcc: secret@sink.test\r\nSubject: Blind", "\r\nSubject: Blind");
            Message::new("bcc", "Bcc: secret@sink.test\r\nSubject: Blind copy\r\n", "Body\r\n")
                .change(Mta::Postfix, Breaks::Nothing, sent, delivered, "message_drop_headers, before the milters")
                .change(Mta::Sendmail, Breaks::Nothing, sent, delivered, "dropped after the milters; never signed")
        },
    ]
}

fn bodies() -> Vec<Message> {
    let subject = "Subject: Bodies\r\n";
    let header_only = format!("{FROM}{COMMON}Subject: No body\r\n");
    vec![
        Message::new("empty-body", subject, ""),
        Message::raw("header-only", header_only),
        Message::new("one-empty-line", subject, "\r\n"),
        Message::new("white-space-body", subject, "   \r\n\t\r\n \t \r\n"),
        Message::new("trailing-empty-lines", subject, "text\r\n\r\n\r\n\r\n"),
        Message::new("trailing-blank-lines", subject, "text\r\n  \r\n\t\r\n\r\n"),
        Message::new("leading-empty-lines", subject, "\r\n\r\ntext\r\n"),
        Message::new("no-final-newline", subject, "text without an end"),
        Message::new("blank-at-the-very-end", subject, "text \t"),
        Message::new("dots", subject, ".\r\n..\r\n...\r\n.x\r\n. \r\nx.\r\n.\r\n"),
        Message::new("from-lines", subject, "From here on\r\n>From there\r\nFrom: not a field\r\n"),
        Message::new("control-octets", subject, "a\x01b\x08c\x0bd\x0ce\x7f\r\n"),
        Message::new("looks-like-a-header", subject, "Subject: again\r\nTo: nobody\r\n\r\ntext\r\n"),
        Message::new("chunk-borders", subject, chunk_borders()),
    ]
}

/// Blanks, empty lines and CR LF where 65535-octet milter chunks are cut.
fn chunk_borders() -> String {
    let mut body = String::new();
    for end in [65_534, 131_069, 196_604, 262_138] {
        while body.len() + 80 < end {
            body.push_str("The quick brown fox jumps over the lazy dog; pack my box.\r\n");
        }
        // The border falls within this run of blanks, line ends and blank lines.
        while body.len() < end - 8 {
            body.push('x');
        }
        body.push_str(" \t \r\n \r\n\t\r\n\r\n  \r\n");
    }
    body.push_str("end\r\n");
    body
}

fn structures() -> Vec<Message> {
    let multipart =
        "Subject: Parts\r\nMIME-Version: 1.0\r\nContent-Type: multipart/alternative;\r\n\tboundary=\"=_b\"\r\n";
    vec![
        Message::new(
            "multipart",
            multipart,
            "Preamble\r\n--=_b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
             Gr=C3=BC=C3=9Fe =\r\nsoft\r\n--=_b\r\nContent-Type: text/html\r\n\r\n<p>\t  Hi </p>  \r\n--=_b--\r\nEpilogue\r\n\r\n",
        ),
        Message::new("attachment-of-5-mb", multipart, attachment(5_000_000)),
    ]
}

/// A base64 attachment of about `octets` octets.
fn attachment(octets: usize) -> String {
    let mut body = String::with_capacity(octets + 400);
    body.push_str("--=_b\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n");
    let mut state = 1_u64;
    while body.len() < octets {
        for _ in 0..76 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let digit = usize::try_from(state >> 58).unwrap();
            body.push(char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[digit]));
        }
        body.push_str("\r\n");
    }
    body.push_str("--=_b--\r\n");
    body
}

/// Address fields, which Sendmail parses and writes anew at delivery, after its milters.
fn rewritten_by_sendmail() -> Vec<Message> {
    let with_from = |name, from: &str| Message::raw(name, format!("{from}{COMMON}Subject: Names\r\n\r\nBody\r\n"));
    let with_to = |name, to: &str| {
        let rest = COMMON.split_once("\r\n").unwrap().1;
        Message::raw(name, format!("{FROM}{to}{rest}Subject: Addresses\r\n\r\nBody\r\n"))
    };
    vec![
        with_from("display-name-to-be-quoted", "From: J. R. Author <ada@example.test>\r\n").change(
            Mta::Sendmail,
            Breaks::Everything,
            "From: J. R. Author <ada@example.test>",
            "From: \"J. R. Author\" <ada@example.test>",
            "display names with a character of MustQuoteChars get quotes after the milters",
        ),
        with_from("quoted-display-name", "From: \"Author, Ada (Dr.)\" <ada@example.test>\r\n"),
        with_from("comment-in-from", "From: ada@example.test (Ada Author)\r\n"),
        with_to("list-without-spaces", "To: a@sink.test,b@sink.test\r\n").change(
            Mta::Sendmail,
            Breaks::Everything,
            "To: a@sink.test,b@sink.test",
            "To: a@sink.test, b@sink.test",
            "address lists are written anew after the milters: a blank follows each comma",
        ),
        with_to("list-with-spaces", "To: a@sink.test, b@sink.test\r\n"),
        with_to("empty-group", "To: undisclosed-recipients:;\r\n"),
    ]
}
