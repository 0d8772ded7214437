//! The lines themselves.

use serde::{Deserialize, Serialize};

use super::explanation::Explanation;
use super::question::Question;
use super::recent::{RecentMessage, RecentMessages};

/// Of the lines spoken here.
pub const VERSION: u32 = 1;

/// The longest request, in octets: a header of `limits.header_bytes` as it is by default fits twice.
pub const LONGEST_REQUEST: usize = 1 << 20;

/// The longest answer, in octets.
pub const LONGEST_ANSWER: usize = 16 << 20;

/// A question to the daemon, in one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// [`VERSION`] of who asks.
    pub version: u32,
    /// What is asked.
    #[serde(flatten)]
    pub ask: Ask,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Ask {
    /// What would become of a message?
    Explain {
        /// The message.
        question: Box<Question>,
    },
    /// What became of a message lately?
    Message {
        /// The MTA's name for it.
        queue_id: String,
    },
    /// What became of the last messages, and which were slow?
    Recorder {
        /// At most so many of the last.
        last: usize,
    },
}

/// The daemon's answer, in one line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// [`VERSION`] of who answers.
    pub version: u32,
    /// The answer.
    #[serde(flatten)]
    pub answer: Answer,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Answer {
    /// To [`Ask::Explain`].
    Explained {
        /// What would become of it.
        explanation: Box<Explanation>,
    },
    /// To [`Ask::Message`]: the messages that had this queue id, the latest first; MTAs use them again.
    Messages {
        /// Those remembered; none: nothing is known of it.
        messages: Vec<RecentMessage>,
        /// Without them: how much is remembered.
        recorder: RecentMessages,
    },
    /// To [`Ask::Recorder`].
    Recorder {
        /// What is remembered.
        recorder: RecentMessages,
    },
    /// It is not answered.
    Refused {
        /// Why not.
        refusal: Refusal,
        /// The same for people.
        text: String,
    },
}

/// Why a request is not answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Refusal {
    /// It is no request that this daemon knows.
    Unknown,
    /// It is of another version.
    Version,
    /// It is longer than [`LONGEST_REQUEST`].
    TooLong,
    /// What it says makes no sense here.
    Unfit,
    /// A later daemon's reason.
    #[serde(other)]
    Other,
}

/// The version alone, of a line that may be of any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct VersionOf {
    /// The version.
    pub version: u32,
}

impl From<Ask> for Request {
    fn from(ask: Ask) -> Self {
        Self { version: VERSION, ask }
    }
}

impl From<Answer> for Response {
    fn from(answer: Answer) -> Self {
        Self { version: VERSION, answer }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_one_line_that_says_its_version() {
        let request = Request::from(Ask::Message { queue_id: "4F\n1B".into() });
        let line = serde_json::to_string(&request).unwrap();
        assert_eq!(line, "{\"version\":1,\"ask\":\"message\",\"queue_id\":\"4F\\n1B\"}");
        assert_eq!(serde_json::from_str::<Request>(&line).unwrap(), request);
        assert!(serde_json::from_str::<Request>("{\"version\":1,\"ask\":\"moon\"}").is_err());
        assert_eq!(serde_json::from_str::<VersionOf>("{\"version\":9,\"ask\":\"moon\"}").unwrap().version, 9);
    }

    #[test]
    fn a_refusal_for_a_reason_unknown_here_is_still_one() {
        let line = "{\"version\":1,\"answer\":\"refused\",\"refusal\":\"moon\",\"text\":\"not today\"}";
        let Response { answer: Answer::Refused { refusal, .. }, .. } = serde_json::from_str(line).unwrap() else {
            panic!("no refusal")
        };
        assert_eq!(refusal, Refusal::Other);
    }
}
