//! `[http]`: where metrics and the status page are.

use std::path::{Path, PathBuf};

use super::file::v1;
use super::parse::Accounts;
use super::resolve::{Kind, Resolver};
use super::running::{Listener, Permissions};
use super::socket::ListenAddress;
use super::source::Step;
use super::values::{Account, Mode, Network};

/// Metrics and the status page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Http {
    /// Where they are; none: nowhere.
    pub listener: Option<Listener>,
    /// The file with the token that is asked for, joined to the configuration file's directory; none: no token is.
    pub token_file: Option<PathBuf>,
}

impl<A: Accounts> Resolver<'_, '_, A> {
    pub(super) fn http(&mut self, spec: Option<&v1::Http>, directory: &Path) -> Http {
        let Some(spec) = spec else { return Http::default() };
        let at = |setting: &str| [Step::from("http"), setting.into()];
        let token_file = spec.token_file.as_ref().map(|path| directory.join(path));
        if spec.token_file.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
            self.error(
                "config.http_token",
                &at("token_file"),
                "is empty".into(),
                "for example token_file = \"http.token\"",
            );
        }
        let Some(address) = spec.listen.clone() else {
            return Http { listener: None, token_file };
        };
        let defaults = Permissions::default();
        let mut listener = Listener::at(address);
        listener.name = Some("http".to_owned());
        listener.allow = spec.allow.iter().flatten().map(|network| network.0).collect();
        listener.permissions = Permissions {
            mode: spec.mode.map_or(defaults.mode, |mode| mode.0),
            group: spec.group.as_ref().and_then(|group| self.account(group, Kind::Group, &at("group"))),
            ..defaults
        };
        self.http_fits(spec, &listener);
        Http { listener: Some(listener), token_file }
    }

    fn http_fits(&mut self, spec: &v1::Http, listener: &Listener) {
        let at = |setting: &str| [Step::from("http"), setting.into()];
        let address = &listener.address;
        if matches!(address, ListenAddress::Systemd(_)) {
            let evidence = "sockets that systemd passes are for MTAs".to_owned();
            self.error(
                "config.http_listen",
                &at("listen"),
                evidence,
                "for example listen = \"unix:/run/waxseal/http.sock\"",
            );
        }
        let is_unix = matches!(address, ListenAddress::Unix(_));
        for (setting, given) in [("mode", spec.mode.is_some()), ("group", spec.group.is_some())] {
            if given && !is_unix {
                let evidence = format!("{address} has no file to give it to");
                self.error(
                    "config.http_permissions",
                    &at(setting),
                    evidence,
                    "leave it out, or listen on a Unix socket",
                );
            }
        }
        if is_unix && spec.allow.is_some() {
            let evidence = "a Unix socket has no network addresses".to_owned();
            self.error("config.http_allow", &at("allow"), evidence, "set mode and group instead");
        }
        if address.is_beyond_loopback() && (listener.allow.is_empty() || spec.token_file.is_none()) {
            let evidence = format!("other machines can reach {address}, and anybody there could read the status page");
            let remedy = "add allow = [\"192.0.2.0/24\"] with the networks of your monitoring, and token_file; or listen at \
                          localhost";
            self.error("config.http_open", &at("listen"), evidence, remedy);
        }
        if is_unix && listener.permissions.mode & 0o002 != 0 && spec.token_file.is_none() {
            let evidence =
                format!("mode {:04o} lets every user of this machine read the status page", listener.permissions.mode);
            self.warning("config.http_mode", &at("mode"), evidence, "set \"0660\", or add token_file");
        }
    }
}

/// As a file has it.
pub(super) fn shown(http: &Http) -> Option<v1::Http> {
    let token_file = http.token_file.clone();
    let Some(listener) = &http.listener else {
        return token_file.map(|file| v1::Http { token_file: Some(file), ..v1::Http::default() });
    };
    let is_unix = matches!(listener.address, ListenAddress::Unix(_));
    Some(v1::Http {
        listen: Some(listener.address.clone()),
        mode: is_unix.then_some(Mode(listener.permissions.mode)),
        group: listener.permissions.group.map(Account::Id),
        allow: (!listener.allow.is_empty()).then(|| listener.allow.iter().copied().map(Network).collect()),
        token_file,
    })
}
