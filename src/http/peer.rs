//! Who asks: the peer of the socket or, behind proxies that are trusted, the client that they name.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderName, header};
use ipnet::IpNet;

use crate::config::{self, ClientHeader};

static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The proxies that are believed.
#[derive(Debug, Clone)]
pub struct Proxies {
    networks: Vec<IpNet>,
    header: ClientHeader,
}

impl Proxies {
    /// As the settings say.
    pub fn new(settings: &config::Http) -> Self {
        Self { networks: settings.trusted_networks().unwrap_or_default(), header: settings.client_header }
    }

    /// Whether an address is one of them.
    pub fn trust(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(&address))
    }

    /// The client: read from the last hop to the first, the first address that is no proxy of ours. What stands before it
    /// was written by that client, who may say what he likes.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        if !self.trust(peer) {
            return peer;
        }
        let name = match self.header {
            ClientHeader::XForwardedFor => &X_FORWARDED_FOR,
            ClientHeader::Forwarded => &header::FORWARDED,
        };
        // A line that is no text still stands between the client's own words and ours.
        let lines: Vec<_> =
            headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
        let mut client = peer;
        for hop in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
            let Some(address) = self.address(hop.trim()) else { break };
            client = address;
            if !self.trust(client) {
                break;
            }
        }
        client
    }

    fn address(&self, hop: &str) -> Option<IpAddr> {
        let node = match self.header {
            ClientHeader::XForwardedFor => hop,
            ClientHeader::Forwarded => hop.split(';').find_map(|pair| {
                let (name, value) = pair.trim().split_once('=')?;
                name.eq_ignore_ascii_case("for").then(|| value.trim_matches('"'))
            })?,
        };
        address(node)
    }
}

/// `192.0.2.7`, `192.0.2.7:4711`, `2001:db8::7`, `[2001:db8::7]` or `[2001:db8::7]:4711` (RFC 7239, section 6).
fn address(node: &str) -> Option<IpAddr> {
    let bare = match node.strip_prefix('[') {
        Some(rest) => rest.split(']').next()?,
        None if node.matches(':').count() == 1 => node.split(':').next()?,
        None => node,
    };
    bare.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn proxies(header: ClientHeader) -> Proxies {
        let networks = ["10.0.0.0/8", "2001:db8:1::/48"].map(|text| text.parse().unwrap());
        Proxies { networks: networks.to_vec(), header }
    }

    fn client(header: ClientHeader, peer: &str, lines: &[&str]) -> String {
        let name = if header == ClientHeader::Forwarded { header::FORWARDED } else { X_FORWARDED_FOR.clone() };
        let value = |line: &&str| HeaderValue::from_bytes(line.as_bytes()).unwrap();
        let headers = lines.iter().map(|line| (name.clone(), value(line))).collect();
        proxies(header).client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn the_last_hop_that_is_no_proxy_of_ours_is_the_client() {
        let told = |peer, lines| client(ClientHeader::XForwardedFor, peer, lines);
        assert_eq!(told("192.0.2.1", &["203.0.113.9"]), "192.0.2.1", "who is not trusted is not believed");
        assert_eq!(told("10.1.1.1", &["203.0.113.9"]), "203.0.113.9");
        assert_eq!(told("::ffff:10.1.1.1", &["203.0.113.9:4711"]), "203.0.113.9");
        assert_eq!(
            told("10.1.1.1", &["1.2.3.4, 203.0.113.9, 10.2.2.2"]),
            "203.0.113.9",
            "1.2.3.4 is the client's word"
        );
        assert_eq!(told("10.1.1.1", &["1.2.3.4", "203.0.113.9"]), "203.0.113.9", "lines are one list");
        assert_eq!(told("10.1.1.1", &["203.0.113.9, nonsense"]), "10.1.1.1");
        assert_eq!(told("10.1.1.1", &["ü, 203.0.113.9"]), "203.0.113.9", "what is no ASCII hides nobody");
        assert_eq!(told("10.1.1.1", &["10.3.3.3"]), "10.3.3.3", "a client inside");
        assert_eq!(told("2001:db8:1::5", &["[2001:db8:2::7]:80"]), "2001:db8:2::7");
        assert_eq!(told("10.1.1.1", &[]), "10.1.1.1");
    }

    #[test]
    fn the_standard_header_is_read_where_the_settings_say_so() {
        let told = |lines| client(ClientHeader::Forwarded, "10.1.1.1", lines);
        assert_eq!(told(&["for=192.0.2.43;proto=https, For=\"[2001:db8:2::7]:4711\";by=10.1.1.1"]), "2001:db8:2::7");
        assert_eq!(told(&["for=unknown"]), "10.1.1.1");
        assert_eq!(told(&["proto=https"]), "10.1.1.1");
    }
}
