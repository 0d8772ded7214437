//! Every setting of OpenDKIM 2.11, by what becomes of it.

use super::settings::{Setting, Settings};
use crate::finding::{Finding, Severity};

/// Taken over, each by its own code.
const CARRIED: &[&str] = &[
    "basedirectory",
    "canonicalization",
    "domain",
    "dontsignmailto",
    "exemptdomains",
    "include",
    "internalhosts",
    "keyfile",
    "keytable",
    "macrolist",
    "mode",
    "mta",
    "multiplesignatures",
    "omitheaders",
    "oversignheaders",
    "peerlist",
    "selector",
    "senderheaders",
    "signaturealgorithm",
    "signaturettl",
    "signheaders",
    "signingtable",
    "socket",
    "subdomains",
];

/// Without meaning for who is signed, and with nothing to do: Waxseal has its own ways.
const ITS_OWN: &[&str] = &[
    "autorestart",
    "autorestartcount",
    "autorestartrate",
    "background",
    "disablecryptoinit",
    "enablecoredumps",
    "externalignorelist",
    "keeptemporaryfiles",
    "logresults",
    "logwhy",
    "milterdebug",
    "pidfile",
    "softstart",
    "softwareheader",
    "syslog",
    "syslogfacility",
    "syslogname",
    "syslogsuccess",
    "temporarydirectory",
    "captureunknownerrors",
    "maximumheaders",
    "userid",
    "umask",
    "changerootdirectory",
    "requiresafekeys",
    "on-default",
    "on-internalerror",
    "on-signatureerror",
    "on-security",
    "querycache",
];

/// About verifying, or about the DNS that verifying asks.
const VERIFYING: &[&str] = &[
    "allowsha1only",
    "alwaysaddarheader",
    "authservid",
    "authservidwithjobid",
    "boguskey",
    "clockdrift",
    "diagnosticdirectory",
    "dnsconnect",
    "dnstimeout",
    "domainkeyscompat",
    "ignoremalformedmail",
    "keepauthresults",
    "maximumsignaturestoverify",
    "minimum",
    "minimumkeybits",
    "mustbesigned",
    "nameservers",
    "noheaderb",
    "on-badsignature",
    "on-dnserror",
    "on-keynotfound",
    "on-nosignature",
    "quarantine",
    "removearall",
    "removearfrom",
    "removeoldsignatures",
    "requirereports",
    "resolverconfiguration",
    "resolvertracing",
    "sendreports",
    "reportaddress",
    "reportbccaddress",
    "statistics",
    "statisticsname",
    "statisticsprefix",
    "anonymousstatistics",
    "testdnsdata",
    "testpublickeys",
    "trustanchorfile",
    "trustsignaturesfrom",
    "unprotectedkey",
    "weaksyntaxchecks",
    "mtacommand",
];

/// What changes signatures or who gets them, and Waxseal has not, with what to do.
const MISSING: &[(&str, Severity, &str)] = &[
    ("bodylengthdb", Severity::Warning, "Waxseal never writes l=: it lets anybody append to what is signed"),
    ("maximumsignedbytes", Severity::Warning, "Waxseal never writes l=: it lets anybody append to what is signed"),
    ("diagnostics", Severity::Info, "Waxseal never writes z="),
    (
        "fixcrlf",
        Severity::Info,
        "Waxseal signs what the MTA sends on; a bare line end in a header field is signed as CRLF",
    ),
    ("strictheaders", Severity::Warning, "to refuse such mail, set signing.on_unsignable = \"refuse\""),
    ("requestreports", Severity::Info, "Waxseal never writes r="),
    (
        "selectcanonicalizationheader",
        Severity::Info,
        "a header field of the message never chooses the canonicalization",
    ),
    ("setuppolicyscript", Severity::Error, "say in [[rule]] sections what the script decides"),
    ("screenpolicyscript", Severity::Warning, "let another milter do what the script does"),
    ("statisticspolicyscript", Severity::Warning, "let another milter do what the script does"),
    ("finalpolicyscript", Severity::Warning, "let another milter do what the script does"),
    ("popdbfile", Severity::Warning, "let clients authenticate; whom POP before SMTP let in is not signed for"),
    ("sendermacro", Severity::Error, "the author in From alone says whose mail it is"),
    ("identityheader", Severity::Warning, "set identity in a [[rule]]"),
    ("identityheaderremove", Severity::Warning, "remove the field in the MTA"),
    (
        "replacerules",
        Severity::Warning,
        "sign behind what rewrites the message, or leave the field out with signing.leave_out",
    ),
    (
        "replaceheaders",
        Severity::Warning,
        "sign behind what rewrites the message, or leave the field out with signing.leave_out",
    ),
    ("resignall", Severity::Warning, "mail of others is not signed; write [[rule]] sections for lists of your own"),
    ("resignmailto", Severity::Warning, "mail of others is not signed; write [[rule]] sections for lists of your own"),
];

/// Says of each setting that has no code of its own what becomes of it.
pub(super) fn survey(settings: &Settings, findings: &mut Vec<Finding>) {
    let mut verifying: Vec<&Setting> = Vec::new();
    for setting in settings.iter() {
        let name = setting.name.as_str();
        let mut find = |rule, severity, evidence: String, remedy: &str| {
            findings.push(Finding::new(rule, severity, setting.place.clone(), evidence, remedy));
        };
        if CARRIED.contains(&name) || ITS_OWN.contains(&name) {
            continue;
        } else if VERIFYING.contains(&name) {
            verifying.push(setting);
        } else if let Some((_, severity, remedy)) = MISSING.iter().find(|(known, ..)| *known == name) {
            find("import.not_carried", *severity, format!("{name} is not carried over"), remedy);
        } else if ["ldap", "vbr-", "adsp", "atps", "redis", "db"].iter().any(|family| name.starts_with(family)) {
            find(
                "import.not_carried",
                Severity::Warning,
                format!("{name} is not carried over"),
                "Waxseal has nothing like it",
            );
        } else {
            let evidence = format!("{name:?} is no setting of OpenDKIM 2.11, which does not start with it");
            find("import.unknown_setting", Severity::Warning, evidence, "see whether it is misspelt");
        }
    }
    if let Some(first) = verifying.first() {
        let names: Vec<_> = verifying.iter().map(|setting| setting.name.as_str()).collect();
        let evidence = format!("of verifying, nothing is carried over: {}", names.join(", "));
        let remedy = "go on verifying with what you have";
        findings.push(Finding::new("import.verifying", Severity::Info, first.place.clone(), evidence, remedy));
    }
    for (name, why) in [
        ("requiresafekeys", "the key store checks its own owners and modes, always"),
        ("userid", "the user is set by the unit, systemd/waxseald.service"),
        ("on-internalerror", "mail is deferred while no key can be used; signing.on_failure says otherwise"),
        ("on-default", "mail is deferred while no key can be used; signing.on_failure says otherwise"),
        ("on-signatureerror", "mail is deferred while no key can be used; signing.on_failure says otherwise"),
        ("externalignorelist", "it only kept a line out of the log, and made nobody trusted"),
        ("maximumheaders", "limits.header_bytes is Waxseal's own; longer headers pass unsigned"),
    ] {
        if let Some(setting) = settings.get(name) {
            let evidence = format!("{name} is not carried over: {why}");
            findings.push(Finding::new("import.its_own", Severity::Info, setting.place.clone(), evidence, ""));
        }
    }
}
