//! Every rule with a case that triggers it and one that does not.

mod dns;
mod hostile;
mod key;
mod policy;
mod rules;
mod syntax;
mod world;
