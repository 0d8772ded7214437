//! Which header fields a signature covers: h= (RFC 6376 §3.5, §5.4).
//!
//! A field is *oversigned* when h= names it once more than it occurs: whoever adds another instance on the way breaks
//! the signature (§8.15).

use super::canonical::{self, Canonicalization};
use crate::message::Headers;

/// Fields that MTAs add, remove or change on the way, or that are no part of the message: never signed (RFC 6376
/// §5.4.1). Signatures do not sign each other.
pub const NEVER_SIGNED: &[&str] = &[
    "received",
    "return-path",
    "bcc",
    "resent-bcc",
    "content-length",
    "delivered-to",
    "authentication-results",
    "x-mime-autoconverted",
    "dkim-signature",
];

const OVERSIGNED: &[&str] = &[
    "from",
    "to",
    "cc",
    "subject",
    "date",
    "message-id",
    "reply-to",
    "in-reply-to",
    "references",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
];

const AS_PRESENT: &[&str] = &[
    "sender",
    "resent-*",
    "list-*",
    "content-id",
    "content-description",
    "autocrypt",
    "feedback-id",
    "cfbl-*",
    "bimi-selector",
];

/// Which header fields go into h=.
///
/// Names are field names without colon, in any case; one that ends in `*` stands for all that begin so. From is always
/// signed and oversigned, and what [`NEVER_SIGNED`] holds never is, whatever the lists say. A name in more than one list
/// goes by the first of `left_out`, `oversigned_absent`, `oversigned`, `as_present` that has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderSelection {
    /// Named once for each instance and once more; not at all where there is none.
    pub oversigned: Vec<String>,
    /// Named once for each instance.
    pub as_present: Vec<String>,
    /// Named once more than there are instances, also where there is none. Breaks the signature where an MTA adds the
    /// field after its milters, as Sendmail does with Date and Message-ID. No `*` here.
    pub oversigned_absent: Vec<String>,
    /// Not named, whatever the other lists say.
    pub left_out: Vec<String>,
}

/// Why a name cannot stand in the lists.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SelectionError {
    /// No field has such a name.
    #[error("{name:?} is no name of a header field; use letters, digits and hyphens, and * at the end for a family")]
    NoName {
        /// The name.
        name: String,
    },
    /// The field must not be signed.
    #[error("{name} must not be signed: it changes on the way (RFC 6376 §5.4.1)")]
    NeverSigned {
        /// The name.
        name: String,
    },
    /// From is always signed (RFC 6376 §5.4).
    #[error("from must be signed (RFC 6376 §5.4) and cannot be left out")]
    FromLeftOut,
    /// A family of names cannot be absent.
    #[error("{name} stands for many names; oversigned_absent needs each by its own")]
    AbsentFamily {
        /// The name.
        name: String,
    },
}

/// The fields of one message that a signature covers, in the order of h=.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectedFields {
    /// The value of h=, without white space.
    names: String,
    /// Places in the header, in the order of the names; names of absent instances have none.
    fields: Vec<usize>,
}

/// What is known of a field when names are chosen.
struct Candidate<'a> {
    name: &'a [u8],
    chosen: bool,
}

impl Default for HeaderSelection {
    fn default() -> Self {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self {
            oversigned: list(OVERSIGNED),
            as_present: list(AS_PRESENT),
            oversigned_absent: Vec::new(),
            left_out: Vec::new(),
        }
    }
}

impl HeaderSelection {
    /// Chooses the fields of one header.
    ///
    /// Instances of a name are named bottom-up (RFC 6376 §5.4.2).
    pub fn select(&self, headers: &Headers) -> SelectedFields {
        let mut candidates: Vec<_> =
            headers.iter().map(|field| Candidate { name: field.name(), chosen: false }).collect();
        let mut selected = SelectedFields { names: String::with_capacity(256), fields: Vec::with_capacity(16) };
        let mut choose = |pattern: &str, oversign| self.choose(&mut candidates, &mut selected, pattern, oversign);
        choose("from", Oversign::Always);
        for name in &self.oversigned {
            choose(name, if is_in(name, &self.oversigned_absent) { Oversign::Always } else { Oversign::IfPresent });
        }
        for name in &self.oversigned_absent {
            if !is_in(name, &self.oversigned) {
                choose(name, Oversign::Always);
            }
        }
        for name in &self.as_present {
            choose(name, Oversign::Never);
        }
        selected
    }

    /// Checks the names of all lists, for configuration.
    ///
    /// # Errors
    ///
    /// For each name that cannot stand where it stands. [`select`](Self::select) passes over those.
    pub fn check(&self) -> Vec<SelectionError> {
        let mut errors = Vec::new();
        let signed = [&self.oversigned, &self.as_present, &self.oversigned_absent];
        for name in signed.into_iter().chain([&self.left_out]).flatten() {
            if !is_name(name.strip_suffix('*').unwrap_or(name).as_bytes()) {
                errors.push(SelectionError::NoName { name: name.clone() });
            }
        }
        for name in signed.into_iter().flatten().filter(|name| is_in(name, NEVER_SIGNED)) {
            errors.push(SelectionError::NeverSigned { name: name.to_ascii_lowercase() });
        }
        for name in self.oversigned_absent.iter().filter(|name| name.ends_with('*')) {
            errors.push(SelectionError::AbsentFamily { name: name.clone() });
        }
        if is_in("from", &self.left_out) {
            errors.push(SelectionError::FromLeftOut);
        }
        errors
    }

    /// Names the fields that a pattern stands for and that no pattern before it did.
    fn choose(
        &self,
        candidates: &mut [Candidate<'_>],
        selected: &mut SelectedFields,
        pattern: &str,
        oversign: Oversign,
    ) {
        if let Some(prefix) = pattern.strip_suffix('*') {
            let mut names = Vec::new();
            for (index, candidate) in candidates.iter_mut().enumerate().rev() {
                if !candidate.chosen && begins_with(candidate.name, prefix) && self.may_sign(candidate.name) {
                    candidate.chosen = true;
                    selected.push(candidate.name, Some(index));
                    names.push(candidate.name.to_ascii_lowercase());
                }
            }
            if oversign != Oversign::Never {
                names.sort_unstable();
                names.dedup();
                names.iter().for_each(|name| selected.push(name, None));
            }
            return;
        }
        if !self.may_sign(pattern.as_bytes()) {
            return;
        }
        let mut present = false;
        for (index, candidate) in candidates.iter_mut().enumerate().rev() {
            if !candidate.chosen && candidate.name.eq_ignore_ascii_case(pattern.as_bytes()) {
                candidate.chosen = true;
                present = true;
                selected.push(candidate.name, Some(index));
            }
        }
        if oversign == Oversign::Always || (oversign == Oversign::IfPresent && present) {
            selected.push(pattern.as_bytes(), None);
        }
    }

    /// Whether a name can stand in h=, and nothing keeps it out.
    fn may_sign(&self, name: &[u8]) -> bool {
        if name.eq_ignore_ascii_case(b"from") {
            return true;
        }
        is_name(name)
            && !NEVER_SIGNED.iter().any(|never| name.eq_ignore_ascii_case(never.as_bytes()))
            && !self.left_out.iter().any(|left_out| match left_out.strip_suffix('*') {
                Some(prefix) => begins_with(name, prefix),
                None => name.eq_ignore_ascii_case(left_out.as_bytes()),
            })
    }
}

/// Whether a name is listed once more than it occurs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Oversign {
    Always,
    IfPresent,
    Never,
}

impl SelectedFields {
    /// The names of h=, lower case, in order, those of absent instances included; at least one.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.split(':')
    }

    /// Appends the canonical form of the fields, in the order of h= (RFC 6376 §3.7).
    ///
    /// The header must be the one they were selected from.
    pub fn canonical(&self, headers: &Headers, how: Canonicalization, out: &mut Vec<u8>) {
        for field in self.fields.iter().filter_map(|&index| headers.field(index)) {
            canonical::field(out, field, how);
        }
    }

    fn push(&mut self, name: &[u8], field: Option<usize>) {
        if !self.names.is_empty() {
            self.names.push(':');
        }
        self.names.extend(name.iter().map(|octet| char::from(octet.to_ascii_lowercase())));
        self.fields.extend(field);
    }
}

/// Letters, digits, hyphens and underscores. Names may hold more (RFC 5322 §3.6.8), even a semicolon; none that is in
/// use does, and h= with one would be read in more than one way.
fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_'))
}

fn is_in<S: AsRef<str>>(name: &str, list: &[S]) -> bool {
    list.iter().any(|other| other.as_ref().eq_ignore_ascii_case(name))
}

fn begins_with(name: &[u8], prefix: &str) -> bool {
    name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::message::Spacing;

    fn headers(names: &[&str]) -> Headers {
        let mut headers = Headers::new();
        for (index, name) in names.iter().enumerate() {
            headers.push(name.as_bytes(), format!(" {index}").as_bytes(), Spacing::AsReceived);
        }
        headers
    }

    /// h= and, for each field signed, its place.
    fn select(selection: &HeaderSelection, names: &[&str]) -> (String, String) {
        let headers = headers(names);
        let selected = selection.select(&headers);
        let mut canonical = Vec::new();
        selected.canonical(&headers, Canonicalization::Relaxed, &mut canonical);
        let canonical = String::from_utf8(canonical).unwrap();
        (
            selected.names().collect::<Vec<_>>().join(":"),
            canonical.lines().map(|line| line.split(':').nth(1).unwrap()).collect::<Vec<_>>().join(" "),
        )
    }

    fn some(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| name.to_string()).collect()
    }

    #[test]
    fn an_ordinary_message_is_oversigned_where_fields_are_present() {
        let (names, fields) = select(
            &HeaderSelection::default(),
            &["Received", "From", "To", "Subject", "Date", "Message-ID", "X-Mailer", "List-Id", "DKIM-Signature"],
        );
        assert_eq!(names, "from:from:to:to:subject:subject:date:date:message-id:message-id:list-id");
        assert_eq!(fields, "1 2 3 4 5 7");
    }

    #[test]
    fn instances_are_taken_bottom_up() {
        let (names, fields) =
            select(&HeaderSelection::default(), &["To", "From", "TO", "List-Post", "list-id", "List-Post"]);
        assert_eq!(names, "from:from:to:to:to:list-post:list-id:list-post");
        assert_eq!(fields, "1 2 0 5 4 3");
    }

    #[test]
    fn from_is_always_signed_and_oversigned() {
        let selection = HeaderSelection {
            oversigned: vec![],
            as_present: some(&["from", "*"]),
            oversigned_absent: vec![],
            left_out: some(&["From", "subject"]),
        };
        assert_eq!(select(&selection, &["Subject"]), ("from".into(), "".into()));
        assert_eq!(select(&selection, &["X-A", "From", "From"]), ("from:from:from:x-a".into(), "2 1 0".into()));
    }

    #[test]
    fn absent_fields_are_oversigned_only_by_choice() {
        let selection =
            HeaderSelection { oversigned_absent: some(&["Subject", "Sender", "X-Y"]), ..HeaderSelection::default() };
        let (names, _) = select(&selection, &["From", "Sender", "Date"]);
        assert_eq!(names, "from:from:subject:date:date:sender:sender:x-y");
    }

    #[test]
    fn left_out_names_and_families_are_left_out() {
        let selection = HeaderSelection { left_out: some(&["TO", "list-*"]), ..HeaderSelection::default() };
        assert_eq!(select(&selection, &["From", "To", "List-Id", "Cc"]).0, "from:from:cc:cc");
    }

    #[test]
    fn families_can_be_oversigned() {
        let selection = HeaderSelection { oversigned: some(&["list-*"]), ..HeaderSelection::default() };
        let (names, fields) = select(&selection, &["List-Post", "List-Id", "From", "List-Id"]);
        assert_eq!(names, "from:from:list-id:list-id:list-post:list-id:list-post");
        assert_eq!(fields, "2 3 1 0");
    }

    #[test]
    fn what_changes_on_the_way_is_never_signed() {
        let selection = HeaderSelection { oversigned: some(NEVER_SIGNED), ..HeaderSelection::default() };
        assert_eq!(select(&selection, NEVER_SIGNED).0, "from");
        let selection = HeaderSelection { as_present: some(&["*"]), ..HeaderSelection::default() };
        assert_eq!(select(&selection, NEVER_SIGNED).0, "from");
    }

    #[test]
    fn names_that_would_break_h_are_passed_over() {
        let (names, _) = select(&HeaderSelection::default(), &["From", "List-a;b", "List-\u{e4}", "List-x:y", "List-"]);
        assert_eq!(names, "from:from:list-");
    }

    #[test]
    fn every_wrong_name_of_the_lists_is_reported() {
        assert_eq!(HeaderSelection::default().check(), []);
        let selection = HeaderSelection {
            oversigned: some(&["Received", "a b"]),
            as_present: some(&["", "x-*"]),
            oversigned_absent: some(&["y-*"]),
            left_out: some(&["FROM"]),
        };
        assert_eq!(
            selection.check(),
            [
                SelectionError::NoName { name: "a b".into() },
                SelectionError::NoName { name: "".into() },
                SelectionError::NeverSigned { name: "received".into() },
                SelectionError::AbsentFamily { name: "y-*".into() },
                SelectionError::FromLeftOut,
            ]
        );
    }

    /// What a verifier takes for h= (RFC 6376 §5.4.2): each name the next instance from the bottom, or nothing.
    fn verifier(names: &str, header: &[&str]) -> String {
        let mut left: Vec<Option<&str>> = header.iter().copied().map(Some).collect();
        let mut taken = Vec::new();
        for name in names.split(':') {
            if let Some(at) = left.iter().rposition(|field| field.is_some_and(|field| field.eq_ignore_ascii_case(name)))
            {
                left[at] = None;
                taken.push(at.to_string());
            }
        }
        taken.join(" ")
    }

    /// The lists, one name after the other.
    fn naive(header: &[&str]) -> Vec<String> {
        let lower: Vec<String> = header.iter().map(|name| name.to_ascii_lowercase()).collect();
        let mut names = Vec::new();
        for name in OVERSIGNED {
            let count = lower.iter().filter(|other| other == name).count();
            let more = usize::from(count > 0 || *name == "from");
            names.extend(vec![name.to_string(); count + more]);
        }
        for name in AS_PRESENT {
            let family = name.strip_suffix('*');
            let is_meant = |other: &&String| family.map_or(*other == name, |prefix| other.starts_with(prefix));
            names.extend(lower.iter().rev().filter(is_meant).filter(|name| *name != "resent-bcc").cloned());
        }
        names
    }

    proptest! {
        #[test]
        fn verifiers_take_the_fields_that_were_signed(header in proptest::collection::vec(
            proptest::sample::select(vec![
                "From", "FROM", "to", "To", "Cc", "Subject", "Date", "Sender", "Received", "Resent-To", "resent-from",
                "Resent-Bcc", "List-Id", "LIST-ID", "List-Post", "X-Other", "Content-Type", "CFBL-Address",
            ]), 0..25)) {
            let (names, fields) = select(&HeaderSelection::default(), &header);
            prop_assert_eq!(&names, &naive(&header).join(":"));
            prop_assert_eq!(fields, verifier(&names, &header));
        }
    }
}
