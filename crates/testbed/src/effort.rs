//! What a route took between two sites, from the parts, files and rules that the testbed has.

use crate::{
    ProxyRoute, Testbed,
    ejfat::{EJFAT_BALANCER, EJFAT_CONTROL, EJFAT_REPLIES},
    network::{Rule, host_of_part},
    routes::{DTS_NLB, EJFAT, EJFAT_DIRECT, GATEWAY_ROUTE, GATEWAYS_ROUTE, INGRESS, MANAGED, ONE_PROXY},
    state::{Part, State},
    tunnels::{End, s2cs_part, s2ds_part},
};

/// The time until the brokers were up, in the state's times.
pub const SERVICE: &str = "service";

/// The effort behind one route.
#[derive(Debug, Clone, PartialEq)]
pub struct Effort {
    /// Ports that are open to the producers' site for it.
    pub ports: usize,
    /// Rules that open them.
    pub rules: usize,
    /// Who presents a certificate.
    pub certificates: Vec<String>,
    /// What has to be kept secret, and handed over.
    pub secrets: Vec<String>,
    /// Processes at the producers' site.
    pub processes_of_producers: usize,
    /// Processes at the service's site.
    pub processes_of_service: usize,
    /// Seconds until service and route were up.
    pub set_up_s: f64,
}

impl Testbed {
    /// The effort behind a route that the firewall lets through; `None` for others, and without a firewall.
    pub fn effort(&self, architecture: &str) -> Option<Effort> {
        let is_for_it = |rule: &&Rule| rule.architectures.iter().any(|name| name == architecture);
        let rules: Vec<&Rule> = self.firewall()?.iter().filter(is_for_it).collect();
        let route = self.route(architecture).filter(|_| !rules.is_empty())?;
        let state = self.state();
        let parts = parts(state, architecture);
        let hosts = state.addresses().hosts;
        let far = parts.iter().filter(|part| host_of_part(hosts, &part.name).is_far()).count();
        let servers = || parts.iter().filter(|part| part.name.starts_with("s2cs ")).map(|part| part.name.clone());
        let over_tls = route.hops.iter().any(|hop| hop.protocol == "amqps");
        let mut secrets = match &route.s3m {
            Some(_) => vec!["token of the S3M interface".to_owned(), "password of the provisioned cluster".to_owned()],
            None if architecture == EJFAT => vec!["token of the EJFAT control plane".to_owned()],
            None if architecture == EJFAT_DIRECT => Vec::new(),
            None => vec!["password of the service's user".to_owned()],
        };
        secrets.extend(servers().map(|server| format!("token of {server}")));
        secrets.extend(servers().next().map(|_| "uid of the tunnel".to_owned()));
        let took = |what: &str| state.set_up_s.get(what).copied().unwrap_or_default();
        Some(Effort {
            ports: rules.iter().map(|rule| rule.ports()).sum(),
            rules: rules.len(),
            certificates: over_tls.then(|| SERVICE.to_owned()).into_iter().chain(servers()).collect(),
            secrets,
            processes_of_producers: far,
            processes_of_service: parts.len() - far,
            set_up_s: if has_brokers(architecture) { took(SERVICE) } else { 0.0 } + took(started_for(architecture)),
        })
    }
}

/// The route whose parts an architecture uses.
fn started_for(architecture: &str) -> &str {
    match architecture {
        ONE_PROXY => ProxyRoute::Haproxy.name(),
        INGRESS | GATEWAY_ROUTE | GATEWAYS_ROUTE => MANAGED,
        _ => architecture,
    }
}

fn has_brokers(architecture: &str) -> bool {
    ![EJFAT, EJFAT_DIRECT].contains(&architecture)
}

/// The processes that a route consists of.
fn parts<'a>(state: &'a State, architecture: &str) -> Vec<&'a Part> {
    let ends = if architecture == ONE_PROXY { &[End::Consumer][..] } else { &End::BOTH };
    let proxied = ProxyRoute::named(started_for(architecture)).into_iter().flat_map(|route| {
        ends.iter().flat_map(move |end| [s2cs_part(route.kind(), *end), s2ds_part(route.name(), *end)])
    });
    let managed: &[&str] = match architecture {
        MANAGED => &["balancer", "ingress", "s3m"],
        INGRESS => &["ingress", "s3m"],
        DTS_NLB => &["nlb"],
        GATEWAY_ROUTE => &["gateway 1", "s3m"],
        GATEWAYS_ROUTE => &["gateway 1", "gateway 2", "gateway 3", "s3m"],
        EJFAT => &[EJFAT_CONTROL, EJFAT_BALANCER, EJFAT_REPLIES],
        _ => &[],
    };
    let names: Vec<String> = proxied.chain(managed.iter().map(|name| (*name).to_owned())).collect();
    let is_broker = |name: &str| has_brokers(architecture) && (name.starts_with("node ") || name.starts_with("epmd "));
    state.parts.iter().filter(|part| is_broker(&part.name) || names.contains(&part.name)).collect()
}
