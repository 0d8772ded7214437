//! What may be wrong, each with what it does to mail.

use crate::finding::{RuleDescription, Severity};

macro_rules! rules {
    ($($rule:ident $id:literal $severity:ident $title:literal $explanation:literal)*) => {
        /// A rule. Its identifier is stable.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Rule {
            $(#[doc = $title] $rule),*
        }

        /// All of them, in the order of the enum.
        pub const RULES: &[RuleDescription] = &[
            $(RuleDescription { id: $id, severity: Severity::$severity, title: $title, explanation: $explanation }),*
        ];
    };
}

rules! {
    PostfixMilters "postfix.milters" Error
        "no smtpd hands its mail to waxseald"
        "Mail that comes in over SMTP is not signed."
    PostfixSubmission "postfix.submission" Error
        "a submission service hands its mail to no milter of ours"
        "An override in master.cf replaces what main.cf says; what customers submit there is not signed."
    PostfixLocal "postfix.local" Warning
        "mail of sendmail(1) is not handed to waxseald"
        "non_smtpd_milters is a setting of its own; mail of cron jobs, web applications and other programs of this machine is not signed."
    PostfixDefaultAction "postfix.default-action" Error
        "mail goes on unsigned, or is refused, while waxseald is away"
        "With accept, Postfix sends mail on unsigned when the daemon cannot be reached; with reject it bounces it. With tempfail the sender keeps it and tries again."
    PostfixChroot "postfix.chroot" Error
        "the socket is not to be found from within the chroot"
        "A chrooted smtpd looks for the path below the queue directory."
    PostfixSocket "postfix.socket" Error
        "nobody answers at the socket that Postfix is told of"
        "Each message waits for the connection and is then treated by milter_default_action."
    PostfixMacros "postfix.macros" Error
        "Postfix does not tell who logged in"
        "Whoever authenticated is trusted by the macros {auth_type} and {auth_authen}, which Postfix sends with MAIL unless it is told otherwise."
    PostfixProtocol "postfix.protocol" Warning
        "an old version of the milter protocol is spoken"
        "Before version 6 a filter cannot decline the body; mail that is not to be signed is sent to it whole."
    PostfixTwice "postfix.twice" Error
        "mail passes waxseald before a content filter and after it"
        "It is signed twice, or the second time refused as relayed; and the first signature is broken by whatever the filter changes."
    PostfixFiltered "postfix.filtered" Warning
        "mail is signed before a content filter"
        "Whatever the filter changes breaks the signature."
    PostfixProxied "postfix.proxied" Error
        "a service with smtpd_proxy_filter shows its milters no message"
        "Milters get no content there; mail is not signed."
    PostfixOrder "postfix.order" Warning
        "another milter comes after waxseald"
        "Whatever it changes breaks the signature."
    PostfixRewritten "postfix.rewritten" Warning
        "messages are changed when they are sent, after they were signed"
        "smtp_generic_maps and the header and body checks of the SMTP client work on what was signed."
    PostfixLines "postfix.lines" Warning
        "lines shorter than the standard's 998 octets are split after they were signed"
        "The SMTP client splits lines that are longer than smtp_line_length_limit, which breaks the signature."
    PostfixConverted "postfix.converted" Warning
        "8-bit bodies are converted when they are sent, after they were signed"
        "Without 8BITMIME the SMTP client makes them quoted-printable, which breaks the signature."
    PostfixTimeouts "postfix.timeouts" Warning
        "Postfix waits less long than waxseald may take"
        "It gives up the filter and treats the message by milter_default_action."
    SendmailMilters "sendmail.milters" Error
        "Sendmail hands no mail to waxseald"
        "There is no filter of ours, or InputMailFilters does not list it: mail is not signed."
    SendmailDefaultAction "sendmail.default-action" Error
        "mail goes on unsigned, or is refused, while waxseald is away"
        "Without F=T or F=4 Sendmail sends mail on unsigned when the daemon cannot be reached; with F=R it refuses it for good."
    SendmailMacros "sendmail.macros" Error
        "Sendmail does not tell who logged in"
        "Whoever authenticated is trusted by the macros {auth_type} and {auth_authen}, which Sendmail is to send with MAIL."
    SendmailSocket "sendmail.socket" Error
        "nobody answers at the socket that Sendmail is told of"
        "Each message waits for the connection and is then treated by F=."
    SendmailOrder "sendmail.order" Warning
        "another milter comes after waxseald"
        "Whatever it changes breaks the signature."
    SendmailMasquerade "sendmail.masquerade" Warning
        "addresses are masqueraded after the message was signed"
        "MASQUERADE_AS rewrites From at delivery, which breaks the signature, and its domain is not the one that signed."
    SendmailConverted "sendmail.converted" Warning
        "8-bit bodies are converted after they were signed"
        "SevenBitInput strips the eighth bit."
    LoginsFree "policy.logins" Warning
        "whoever logs in may write as every domain"
        "With more than one domain, each customer is signed for as each other unless logins are bound to their own addresses."
    RotationLate "rotation.late" Warning
        "rotation has not run for a day"
        "Keys are neither renewed nor watched. The timer is waxseal-rotate.timer."
    RotationFailing "rotation.failing" Warning
        "rotation fails for some domains"
        "It tries again by itself; waxseal status --only failing lists them."
    RotationAlarm "rotation.alarm" Error
        "mail of some domains is at stake"
        "A record that keys sign with is missing or wrong. waxseal status --only alarmed lists them."
    ClockBehind "clock.behind" Error
        "the clock is behind what was written down"
        "Signatures with such a t= lie in the past, records seem to come from the future, and rotation pauses."
    DaemonVersion "daemon.milter" Error
        "what listens does not speak as waxseald does"
        "Something else listens at the address, or the daemon hangs."
}

impl Rule {
    /// What it is about.
    pub fn description(self) -> &'static RuleDescription {
        &RULES[self as usize]
    }
}
