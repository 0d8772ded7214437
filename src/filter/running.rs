//! What messages are judged by at one time.

use std::sync::Arc;

use super::beside::ProvenKeys;
use crate::config::Config;
use crate::milter::{ConnectReplies, HeaderChanges, Macros, RecipientEvents, SessionOptions, SymbolLists};
use crate::policy::{MacroValues, Policy};

/// The configuration, and the policy made of it and its maps. A message keeps the one it began with.
#[derive(Debug, Clone)]
pub struct Running {
    /// The configuration.
    pub config: Arc<Config>,
    /// Who is signed for.
    pub policy: Arc<Policy>,
    symbol_lists: Arc<SymbolLists>,
    /// Of the signer before us.
    pub(super) proven: Arc<ProvenKeys>,
}

impl Running {
    /// A configuration with the policy made of it.
    pub fn new(config: Arc<Config>, policy: Policy) -> Self {
        let names: Vec<String> = policy.macros().iter().map(|condition| condition.listed_name()).collect();
        let symbol_lists = SymbolLists::default().with(names.iter().map(String::as_str));
        Self { config, policy: Arc::new(policy), symbol_lists: Arc::new(symbol_lists), proven: Arc::default() }
    }

    /// What a session that begins now asks of its MTA.
    pub fn session_options(&self) -> SessionOptions {
        SessionOptions {
            frame_limit: u32::try_from(self.config.limits.frame).unwrap_or(u32::MAX),
            recipients: if self.policy.wants_recipients() {
                RecipientEvents::Wanted
            } else {
                RecipientEvents::Unwanted
            },
            connects: if self.policy.trust().ignore.is_empty() {
                ConnectReplies::Unwanted
            } else {
                ConnectReplies::Wanted
            },
            // Also while a cut-over takes nothing, so that what it will take need not wait for new sessions.
            header_changes: if self.policy.cutover().is_some() {
                HeaderChanges::AddAndChange
            } else {
                HeaderChanges::AddOnly
            },
            symbol_lists: Some(Arc::clone(&self.symbol_lists)),
            ..SessionOptions::default()
        }
    }
}

impl MacroValues for Macros {
    fn value(&self, name: &str) -> Option<&[u8]> {
        Self::value(self, name)
    }
}
