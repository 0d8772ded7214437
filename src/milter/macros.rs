//! Macros: what the MTA says of its commands, such as the queue id `i` or the login `{auth_authen}`.
//!
//! One set is kept for each stage of a connection. New macros for a stage replace its whole set; a command drops the
//! sets of later stages, and its own unless macros came for it; the end of a message drops the sets from MAIL on. So
//! nothing said of one message is ever seen with the next, even if the MTA leaves a macro out there.

use super::command::CommandKind;

/// The buffer of an idle connection keeps at most this many octets for macros to come.
const IDLE_CAPACITY: usize = 512;

const STAGES: usize = 7;

/// When macros are sent, in the order of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// With CONNECT.
    Connect,
    /// With HELO.
    Helo,
    /// With MAIL.
    Mail,
    /// With each RCPT.
    Recipient,
    /// With DATA.
    Data,
    /// With end of header; Postfix sends them with each header field too.
    EndOfHeader,
    /// With end of message; Postfix sends them with each piece of body too.
    EndOfMessage,
}

/// More macros than any MTA sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the MTA sent more than {limit} octets of macros")]
pub struct MacrosTooLong {
    /// The limit, in octets, for all stages together.
    pub limit: usize,
}

/// The macros known at this moment.
#[derive(Debug, Default)]
pub struct Macros {
    /// The sets as they came (name NUL value NUL ...), one stage after the other.
    sets: Vec<u8>,
    /// Where each stage's set ends in `sets`.
    ends: [u32; STAGES],
    /// Bit n: macros for stage n have come, their command has not.
    announced: u8,
}

impl Stage {
    /// All stages, in the order of a session.
    pub const ALL: [Self; STAGES] =
        [Self::Connect, Self::Helo, Self::Mail, Self::Recipient, Self::Data, Self::EndOfHeader, Self::EndOfMessage];

    /// The stage's number in the negotiation (SMFIM_*), where the last two stand the other way round.
    pub fn number(self) -> u32 {
        match self {
            Self::Connect => 0,
            Self::Helo => 1,
            Self::Mail => 2,
            Self::Recipient => 3,
            Self::Data => 4,
            Self::EndOfMessage => 5,
            Self::EndOfHeader => 6,
        }
    }

    /// The stage to which macros for `command` belong; none for those that are of no use.
    pub fn of(command: CommandKind) -> Option<Self> {
        Some(match command {
            CommandKind::Connect => Self::Connect,
            CommandKind::Helo => Self::Helo,
            CommandKind::Mail => Self::Mail,
            CommandKind::Recipient => Self::Recipient,
            CommandKind::Data => Self::Data,
            CommandKind::Header | CommandKind::EndOfHeader => Self::EndOfHeader,
            CommandKind::Body | CommandKind::EndOfMessage => Self::EndOfMessage,
            _ => return None,
        })
    }
}

impl Macros {
    /// A macro's value, from the latest stage that has it. The braces of `{name}` may be left out.
    pub fn value(&self, name: &str) -> Option<&[u8]> {
        Stage::ALL.into_iter().rev().find_map(|stage| self.value_at(stage, name))
    }

    /// A macro's value as it came with one stage. The braces of `{name}` may be left out.
    pub fn value_at(&self, stage: Stage, name: &str) -> Option<&[u8]> {
        let name = without_braces(name.as_bytes());
        let (start, end) = self.span(stage);
        let mut set = &self.sets[start..end];
        while let Some(name_end) = memchr::memchr(0, set) {
            let rest = &set[name_end + 1..];
            let value_end = memchr::memchr(0, rest).unwrap_or(rest.len());
            if without_braces(&set[..name_end]) == name {
                return Some(&rest[..value_end]);
            }
            set = rest.get(value_end + 1..).unwrap_or_default();
        }
        None
    }

    /// Takes the set that came for a stage in place of the one it had.
    pub(super) fn announce(&mut self, stage: Stage, set: &[u8], limit: usize) -> Result<(), MacrosTooLong> {
        self.announced |= 1 << stage as u8;
        let (start, end) = self.span(stage);
        // Postfix repeats the same set with every header field.
        if &self.sets[start..end] == set {
            return Ok(());
        }
        if self.sets.len() - (end - start) + set.len() > limit {
            return Err(MacrosTooLong { limit });
        }
        self.replace(stage, set);
        Ok(())
    }

    /// A command came: its own set stays if it was announced, those of later stages go.
    pub(super) fn command(&mut self, stage: Stage) {
        let announced = self.announced & (1 << stage as u8) != 0;
        self.forget_after(stage);
        if !announced {
            self.forget_from(stage);
        }
        self.announced &= !(1 << stage as u8);
    }

    /// Drops the sets from a stage on.
    pub(super) fn forget_from(&mut self, stage: Stage) {
        let (start, _) = self.span(stage);
        self.sets.truncate(start);
        self.ends[stage as usize..].fill(start as u32);
        self.announced &= (1 << stage as u8) - 1;
    }

    /// Gives back what an idle connection need not hold.
    pub(super) fn give_back(&mut self) {
        if self.sets.capacity() > IDLE_CAPACITY {
            self.sets.shrink_to(IDLE_CAPACITY);
        }
    }

    /// The size of its buffer, in octets.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.sets.capacity()
    }

    fn forget_after(&mut self, stage: Stage) {
        if let Some(&next) = Stage::ALL.get(stage as usize + 1) {
            self.forget_from(next);
        }
    }

    fn replace(&mut self, stage: Stage, set: &[u8]) {
        let (start, end) = self.span(stage);
        if end == self.sets.len() {
            self.sets.truncate(start);
            self.sets.extend_from_slice(set);
        } else {
            self.sets.splice(start..end, set.iter().copied());
        }
        // The limit keeps all sets far below 4 GiB.
        let (old, new) = ((end - start) as u32, set.len() as u32);
        for later in &mut self.ends[stage as usize..] {
            *later = *later - old + new;
        }
    }

    fn span(&self, stage: Stage) -> (usize, usize) {
        let index = stage as usize;
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        (start as usize, self.ends[index] as usize)
    }
}

fn without_braces(name: &[u8]) -> &[u8] {
    name.strip_prefix(b"{").and_then(|name| name.strip_suffix(b"}")).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 1 << 16;

    #[test]
    fn the_latest_stage_wins_and_braces_do_not_matter() {
        let mut macros = Macros::default();
        macros.announce(Stage::Connect, b"j\0host\0{daemon_name}\0MSA\0", LIMIT).unwrap();
        macros.announce(Stage::Mail, b"i\0A\0{auth_authen}\0\0", LIMIT).unwrap();
        macros.announce(Stage::EndOfMessage, b"{i}\0B\0", LIMIT).unwrap();
        assert_eq!(macros.value("i"), Some(&b"B"[..]));
        assert_eq!(macros.value("{i}"), Some(&b"B"[..]));
        assert_eq!(macros.value_at(Stage::Mail, "i"), Some(&b"A"[..]));
        assert_eq!(macros.value("daemon_name"), Some(&b"MSA"[..]));
        assert_eq!(macros.value("{auth_authen}"), Some(&b""[..]));
        assert_eq!(macros.value("{auth_type}"), None);
        macros.announce(Stage::Connect, b"j\0another\0", LIMIT).unwrap();
        assert_eq!(macros.value("daemon_name"), None);
        assert_eq!(macros.value("j"), Some(&b"another"[..]));
        assert_eq!(macros.value("i"), Some(&b"B"[..]));
    }

    #[test]
    fn a_command_drops_the_sets_of_later_stages_and_its_own_unless_announced() {
        let mut macros = Macros::default();
        macros.announce(Stage::Connect, b"j\0host\0", LIMIT).unwrap();
        macros.command(Stage::Connect);
        macros.announce(Stage::Mail, b"{auth_authen}\0anna\0", LIMIT).unwrap();
        macros.command(Stage::Mail);
        macros.announce(Stage::Recipient, b"i\0A\0", LIMIT).unwrap();
        macros.command(Stage::Recipient);
        assert_eq!(macros.value("i"), Some(&b"A"[..]));
        macros.command(Stage::Recipient);
        assert_eq!(macros.value("i"), None);
        assert_eq!(macros.value("auth_authen"), Some(&b"anna"[..]));
        macros.command(Stage::Mail);
        assert_eq!(macros.value("auth_authen"), None);
        assert_eq!(macros.value("j"), Some(&b"host"[..]));
        macros.command(Stage::Connect);
        assert_eq!(macros.value("j"), None);
    }

    #[test]
    fn a_thousand_macros_are_found_and_too_many_are_refused() {
        let set: Vec<u8> = (0..1000).flat_map(|n| format!("{{m{n}}}\0v{n}\0").into_bytes()).collect();
        let mut macros = Macros::default();
        macros.announce(Stage::Connect, &set, LIMIT).unwrap();
        assert_eq!(macros.value("m999"), Some(&b"v999"[..]));
        assert_eq!(macros.announce(Stage::Mail, &vec![b'x'; LIMIT], LIMIT), Err(MacrosTooLong { limit: LIMIT }));
        macros.forget_from(Stage::Connect);
        macros.give_back();
        assert!(macros.sets.capacity() <= IDLE_CAPACITY);
    }

    #[test]
    fn a_set_that_is_cut_short_is_read_as_far_as_it_goes() {
        let mut macros = Macros::default();
        macros.announce(Stage::Connect, b"i\0A\0j\0host", LIMIT).unwrap();
        assert_eq!(macros.value("j"), Some(&b"host"[..]));
        macros.announce(Stage::Connect, b"i\0A\0j", LIMIT).unwrap();
        assert_eq!(macros.value("j"), None);
        assert_eq!(macros.value("i"), Some(&b"A"[..]));
    }
}
