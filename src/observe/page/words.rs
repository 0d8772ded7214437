//! Numbers, times and names as people read them.

use std::time::Duration;

use jiff::Timestamp;
use maud::{Markup, html};

/// A narrow space that does not break, between thousands and before units.
const THIN: char = '\u{202f}';

/// A count, its thousands apart.
pub(super) fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3 * THIN.len_utf8());
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(THIN);
        }
        grouped.push(digit);
    }
    grouped
}

/// So many each second.
pub(super) fn rate(rate: f64) -> String {
    if rate >= 100.0 {
        count(rate.round() as u64)
    } else if rate >= 10.0 || rate == 0.0 {
        format!("{rate:.0}")
    } else if rate < 0.1 {
        format!("<{THIN}0.1")
    } else {
        format!("{rate:.1}")
    }
}

/// A share, in percent.
pub(super) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent > 0.0 && percent < 0.1 {
        format!("<{THIN}0.1{THIN}%")
    } else if percent < 10.0 && percent.fract() != 0.0 {
        format!("{percent:.1}{THIN}%")
    } else {
        format!("{percent:.0}{THIN}%")
    }
}

/// A short time.
pub(super) fn took(time: Duration) -> String {
    let millis = time.as_secs_f64() * 1000.0;
    match millis {
        _ if millis < 1.0 => format!("{millis:.2}{THIN}ms"),
        _ if millis < 10.0 => format!("{millis:.1}{THIN}ms"),
        _ if millis < 1000.0 => format!("{millis:.0}{THIN}ms"),
        _ => format!("{:.1}{THIN}s", millis / 1000.0),
    }
}

/// A long time, to its two largest units.
pub(super) fn span(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}{THIN}s"),
        (0, 0, _) => format!("{minutes}{THIN}min"),
        (0, _, 0) => format!("{hours}{THIN}h"),
        (0, _, _) => format!("{hours}{THIN}h {minutes}{THIN}min"),
        (_, 0, _) => format!("{days}{THIN}d"),
        _ => format!("{days}{THIN}d {hours}{THIN}h"),
    }
}

/// For how long.
pub(super) fn lasting(since: Timestamp, now: Timestamp) -> String {
    format!("for {}", span(u64::try_from(now.duration_since(since).as_secs()).unwrap_or(0)))
}

/// How long ago.
pub(super) fn ago(then: Timestamp, now: Timestamp) -> String {
    match u64::try_from(now.duration_since(then).as_secs()) {
        Ok(0..5) | Err(_) => "just now".to_owned(),
        Ok(seconds) => format!("{} ago", span(seconds)),
    }
}

/// How far ahead.
pub(super) fn ahead(then: Timestamp, now: Timestamp) -> String {
    match u64::try_from(then.duration_since(now).as_secs()) {
        Ok(seconds) if seconds > 0 => format!("in {}", span(seconds)),
        _ => "due".to_owned(),
    }
}

/// Octets.
pub(super) fn octets(octets: u64) -> String {
    let mib = octets as f64 / f64::from(1 << 20);
    if mib >= 1024.0 {
        format!("{:.1}{THIN}GiB", mib / 1024.0)
    } else if mib >= 10.0 {
        format!("{mib:.0}{THIN}MiB")
    } else {
        format!("{mib:.1}{THIN}MiB")
    }
}

/// A text in which commands stand between backticks.
pub(super) fn marked(text: &str) -> Markup {
    html! {
        @for (at, part) in text.split('`').enumerate() {
            @if at % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

/// A stable code as words: `no_active_key` is "No active key".
pub(super) fn titled(code: &str) -> String {
    let words = code.replace('_', " ");
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well_at_every_size() {
        assert_eq!(count(0), "0");
        assert_eq!(count(1_234_567), "1\u{202f}234\u{202f}567");
        let rates = [0.0, 0.02, 0.5, 9.96, 42.4, 1234.0].map(rate);
        assert_eq!(rates, ["0", "<\u{202f}0.1", "0.5", "10.0", "42", "1\u{202f}234"]);
        assert_eq!(
            [0.0, 0.0004, 0.055, 0.5, 1.0].map(percent).map(|shown| shown.replace(THIN, "")),
            ["0%", "<0.1%", "5.5%", "50%", "100%"]
        );
        let times =
            [312_u64, 4_200, 42_000, 1_500_000].map(|micros| took(Duration::from_micros(micros)).replace(THIN, " "));
        assert_eq!(times, ["0.31 ms", "4.2 ms", "42 ms", "1.5 s"]);
    }

    #[test]
    fn spans_have_two_units_at_most() {
        let spans = [7, 90, 3600, 5400, 86_400, 190_000].map(|seconds| span(seconds).replace(THIN, " "));
        assert_eq!(spans, ["7 s", "1 min", "1 h", "1 h 30 min", "1 d", "2 d 4 h"]);
        let now = Timestamp::from_second(1_000_000).unwrap();
        assert_eq!(ago(now, now), "just now");
        assert_eq!(ahead(Timestamp::from_second(999_999).unwrap(), now), "due");
        assert_eq!(lasting(Timestamp::from_second(999_993).unwrap(), now).replace(THIN, " "), "for 7 s");
    }

    #[test]
    fn codes_become_words_and_commands_are_set_apart() {
        assert_eq!(titled("no_active_key"), "No active key");
        assert_eq!(marked("run `a <b>` now").into_string(), "run <code>a &lt;b&gt;</code> now");
    }
}
