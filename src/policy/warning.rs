//! What is wrong with a message that is signed all the same: it will break after us, or a wish could not be met. Counted.

use std::fmt;

use serde::Serialize;

/// Something that is counted, and that the message's log line names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Warning {
    /// A line is longer than the MTA delivers: it will be split, and the signature broken.
    LongLine,
    /// The body has octets beyond ASCII, and the client did not announce them (RFC 6152): an MTA that meets a next hop without
    /// 8BITMIME encodes the body anew, and the signature breaks.
    EightBit,
    /// An address field has a form that Sendmail writes anew: the signature breaks if that field is signed.
    RewrittenAddress,
    /// A signature of a domain that signs is there already.
    AlreadySigned,
    /// The selector that a rule wants does not sign; the domain's other keys did.
    SelectorNotActive,
    /// A rule asks for recipients, and the MTA was not asked for them, since it connected before the rule was there.
    RecipientsUnknown,
}

impl Warning {
    /// All, in the order of their documentation.
    pub const ALL: [Self; 6] = [
        Self::LongLine,
        Self::EightBit,
        Self::RewrittenAddress,
        Self::AlreadySigned,
        Self::SelectorNotActive,
        Self::RecipientsUnknown,
    ];

    /// The warning's stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::LongLine => "long_line",
            Self::EightBit => "eight_bit",
            Self::RewrittenAddress => "rewritten_address",
            Self::AlreadySigned => "already_signed",
            Self::SelectorNotActive => "selector_not_active",
            Self::RecipientsUnknown => "recipients_unknown",
        }
    }

    /// What to do about it.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::LongLine => {
                "have the sending program wrap lines at 998 octets (RFC 5322 §2.1.1), or set Postfix' smtp_line_length_limit = 0"
            }
            Self::EightBit => {
                "have the sending program announce 8BITMIME or encode the body; Postfix: disable_mime_output_conversion = yes"
            }
            Self::RewrittenAddress => {
                "have the sending program quote display names and put a space behind commas, or leave the field out \
                 with signing.leave_out (From cannot be)"
            }
            Self::AlreadySigned => "let only one program sign, or see whether the message passes this filter twice",
            Self::SelectorNotActive => "take the selector out of the rule or its map, or activate that key",
            Self::RecipientsUnknown => "nothing to do: it ends with the SMTP sessions that were open at the reload",
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

/// The warnings of one message, each once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Warnings(u8);

impl Warnings {
    /// Adds one.
    pub fn add(&mut self, warning: Warning) {
        self.0 |= 1 << warning as u8;
    }

    /// Adds one if it is so.
    pub fn add_if(&mut self, so: impl FnOnce() -> bool, warning: Warning) {
        if so() {
            self.add(warning);
        }
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those there are, in the order of their documentation.
    pub fn iter(self) -> impl Iterator<Item = Warning> {
        Warning::ALL.into_iter().filter(move |warning| self.0 & (1 << *warning as u8) != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_kept_once_and_in_order() {
        let mut warnings = Warnings::default();
        assert!(warnings.is_empty());
        for warning in [Warning::RecipientsUnknown, Warning::LongLine, Warning::LongLine] {
            warnings.add(warning);
        }
        assert_eq!(warnings.iter().collect::<Vec<_>>(), [Warning::LongLine, Warning::RecipientsUnknown]);
        for warning in Warning::ALL {
            assert_eq!(serde_json::to_value(warning).unwrap(), warning.code());
            assert!(!warning.remedy().is_empty());
        }
    }
}
