//! Lists of clients: InternalHosts, PeerList and the like.

use std::net::IpAddr;

use ipnet::IpNet;

use super::dataset::DataSet;

impl DataSet {
    /// Whether the list has this client: by its name, then its parents', then its address, then the networks around it,
    /// narrowest first. `!` before an entry says that it does not. Texts are compared, so that an entry with another
    /// spelling of a network is never found.
    pub(super) fn has_client(&self, host: &str, address: Option<IpAddr>) -> bool {
        let verdict = |text: &str| {
            if self.has(&format!("!{text}")) { Some(false) } else { self.has(text).then_some(true) }
        };
        let parents = host.match_indices('.').filter_map(|(at, _)| host.get(at..));
        let names = std::iter::once(host).filter(|host| !host.is_empty()).chain(parents);
        if let Some(found) = names.map(verdict).find_map(|verdict| verdict) {
            return found;
        }
        let Some(address) = address.map(|address| address.to_canonical()) else { return false };
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let networks = (0..=longest).rev().filter_map(|prefix| IpNet::new(address, prefix).ok());
        let mut texts = vec![address.to_string(), format!("[{address}]")];
        for network in networks {
            let network = network.trunc();
            texts.push(network.to_string());
            texts.push(format!("[{}]/{}", network.addr(), network.prefix_len()));
        }
        texts.iter().find_map(|text| verdict(text)).unwrap_or(false)
    }
}
