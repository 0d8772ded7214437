//! A program publishes.
//!
//! It is told on standard input, in one JSON object, what is to be so afterwards, and answers by its exit code: 0 it is so now,
//! 10 it was so already, 11 something else stands there (its standard output has the values, one a line), anything else it
//! failed, 75 (EX_TEMPFAIL) for the moment.

use std::time::Duration;

use serde::Serialize;

use super::error::ProgramProblem;
use super::program::run;
use super::{Outcome, PublishError, Publisher, Publishing, Record, Standing};
use crate::names::DomainName;
use crate::observation::Txt;

const DONE: i32 = 0;
const ALREADY_SO: i32 = 10;
const CONFLICT: i32 = 11;
/// sysexits.h: "temporary failure, user is invited to retry".
const TRY_AGAIN: i32 = 75;

/// Has a program change records.
#[derive(Debug, Clone)]
pub struct ExecHook {
    /// The program, by its path, and its arguments.
    pub program: Vec<String>,
    /// The zone it is told.
    pub zone: Option<DomainName>,
    /// How long it may take; then it is killed.
    pub timeout: Duration,
}

/// What the program is told.
#[derive(Debug, Serialize)]
struct Task<'a> {
    action: Action,
    name: &'a str,
    #[serde(rename = "type")]
    rr_type: &'static str,
    ttl: u32,
    value: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    old_value: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    zone: Option<&'a DomainName>,
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    Present,
    Replace,
    Absent,
}

impl ExecHook {
    async fn tell(&self, action: Action, record: &Record, old: Option<&Record>) -> Result<Outcome, PublishError> {
        let task = Task {
            action,
            name: &record.name,
            rr_type: "TXT",
            ttl: record.ttl,
            value: &record.value,
            old_value: old.map(|old| old.value.as_str()),
            zone: self.zone.as_ref(),
        };
        let program = self.program.first().cloned().unwrap_or_default();
        let mut input = serde_json::to_vec(&task).map_err(|error| PublishError::Program {
            program: program.clone(),
            problem: ProgramProblem::Start(error.into()),
            said: String::new(),
        })?;
        input.push(b'\n');
        let finished = run(&self.program, &input, self.timeout).await?;
        match finished.code {
            DONE => Ok(Outcome::Done),
            ALREADY_SO => Ok(Outcome::AlreadySo),
            CONFLICT => Ok(Outcome::Conflict(standing(&finished.stdout, record.ttl))),
            TRY_AGAIN => Err(PublishError::Program { program, problem: ProgramProblem::TryAgain, said: finished.said }),
            code => Err(PublishError::Program { program, problem: ProgramProblem::Exit(code), said: finished.said }),
        }
    }
}

impl Publisher for ExecHook {
    fn present<'a>(&'a self, record: &'a Record) -> Publishing<'a> {
        Box::pin(self.tell(Action::Present, record, None))
    }

    fn replace<'a>(&'a self, old: &'a Record, new: &'a Record) -> Publishing<'a> {
        Box::pin(self.tell(Action::Replace, new, Some(old)))
    }

    fn absent<'a>(&'a self, record: &'a Record) -> Publishing<'a> {
        Box::pin(self.tell(Action::Absent, record, None))
    }
}

fn standing(stdout: &[u8], ttl: u32) -> Standing {
    let lines = stdout.split(|octet| *octet == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    let records: Vec<Txt> = lines.map(|line| Txt { strings: vec![line.to_vec()], ttl }).collect();
    if records.is_empty() { Standing::Unknown } else { Standing::Txt(records) }
}
