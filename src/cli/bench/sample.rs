//! The message that is sent.

use std::fs;

use anyhow::Context;

use crate::milter::ValueSpacing;
use crate::milter::mta::{Answer, Message};

/// The size of a generated body where none is asked for, in octets.
const DEFAULT_SIZE: u64 = 2048;

/// Twelve fields, as a mail program writes them. The author is put in for each message.
const HEADER: &str = "Message-ID: <6f1d2c3b-8a4e-4c57-9d26-0b7f5e3a1c84@example.com>\r\n\
    Date: Mon, 23 Nov 2026 12:34:56 +0100\r\n\
    MIME-Version: 1.0\r\n\
    User-Agent: Mozilla Thunderbird\r\n\
    Subject: Minutes of last week's meeting, and what follows\r\n from them\r\n\
    Content-Language: en-GB\r\n\
    To: Someone Else <someone@example.net>, Another <another@example.org>\r\n\
    References: <1b2c3d4e@example.net> <5f6a7b8c@example.net>\r\n\
    From: bench@example.com\r\n\
    In-Reply-To: <5f6a7b8c@example.net>\r\n\
    Content-Type: text/plain; charset=UTF-8; format=flowed\r\n\
    Content-Transfer-Encoding: 8bit\r\n\
    \r\n";

const TEXT: &str = "The committee met on Monday in the small room, since the large one was\r\n\
    taken. It was agreed that the boats be painted before spring, that the\r\n\
    jetty be looked at by someone who knows about wood, and that the summer\r\n\
    regatta take place as it did last year.\r\n\
    \r\n\
    The treasurer reported a small surplus, which nobody had expected.\r\n";

const HTML: &str = "<table>  \r\n\
    \t<tr>\r\n\
    \t\t<td   class=\"a\"  >\t one   two\tthree   </td>   \r\n\
    \t\t<td>    </td>\r\n\
    \x20\x20\x20\x20\x20\x20\x20\x20\r\n\
    \t</tr>\t\t\r\n\
    \r\n\
    \r\n\
    </table>\r\n";

/// The message that each connection sends, again and again.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    message: Message,
}

impl Sample {
    /// A body of `size` octets of text, of HTML, or of a file's content.
    pub(super) fn new(body: &str, size: Option<u64>) -> anyhow::Result<Self> {
        let body = match body {
            "text" => repeated(TEXT.as_bytes(), size.unwrap_or(DEFAULT_SIZE)),
            "html" => repeated(HTML.as_bytes(), size.unwrap_or(DEFAULT_SIZE)),
            path => {
                let content = fs::read(path).with_context(|| format!("cannot read the body {path:?}"))?;
                let content = with_crlf(&content);
                match size {
                    Some(size) => repeated(&content, size),
                    None => content,
                }
            }
        };
        Ok(Self { message: Message::parse(&[HEADER.as_bytes(), &body].concat())? })
    }

    /// A message to put authors into. Shares its body with others.
    pub(super) fn message(&self) -> Message {
        self.message.clone()
    }

    /// The size of the body, in octets.
    pub(super) fn body_size(&self) -> usize {
        self.message.body().len()
    }
}

/// Makes `author` the message's From.
pub(super) fn set_author(message: &mut Message, author: &str) {
    let value = format!(" {author}");
    let change = Answer::ChangeHeader { index: 1, name: b"From", value: value.as_bytes() };
    message.apply(&change, ValueSpacing::AsReceived);
}

/// `content` as often as it takes for `size` octets, ending with a line end.
fn repeated(content: &[u8], size: u64) -> Vec<u8> {
    // The command line keeps it below 1 GiB.
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let mut body: Vec<u8> = content.iter().copied().cycle().take(size).collect();
    if let Some(end) = body.last_chunk_mut::<2>() {
        *end = *b"\r\n";
    }
    // No CR may stand alone before the line end that was put there.
    if let [.., last @ b'\r', b'\r', b'\n'] = body.as_mut_slice() {
        *last = b'.';
    }
    body
}

fn with_crlf(content: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(content.len() + content.len() / 32);
    for line in content.split_inclusive(|&octet| octet == b'\n') {
        match line {
            [text @ .., b'\r', b'\n'] | [text @ .., b'\n'] => {
                body.extend_from_slice(text);
                body.extend_from_slice(b"\r\n");
            }
            text => body.extend_from_slice(text),
        }
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_have_the_size_asked_for_and_whole_lines() {
        for body in ["text", "html"] {
            for size in [0, 1, 2, 3, 72, 73, 2048, 100_000] {
                let sample = Sample::new(body, Some(size)).unwrap();
                assert_eq!(sample.body_size() as u64, size);
                let message = sample.message();
                if size >= 2 {
                    assert!(message.body().ends_with(b"\r\n"));
                    assert!(!message.body().windows(2).any(|pair| pair[0] == b'\r' && pair[1] != b'\n'));
                }
                assert_eq!(message.shown().count(), 12);
            }
        }
        assert!(Sample::new("/does/not/exist", None).is_err());
    }

    #[test]
    fn the_author_takes_its_place() {
        let mut message = Sample::new("text", None).unwrap().message();
        set_author(&mut message, "a@b.example");
        let authors: Vec<_> = message.shown().filter(|(name, _)| *name == b"From").collect();
        assert_eq!(authors, [(&b"From"[..], &b" a@b.example"[..])]);
        assert_eq!(with_crlf(b"a\nb\r\n\nc"), b"a\r\nb\r\n\r\nc");
    }
}
