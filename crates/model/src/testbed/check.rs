//! What a description may not be: each refusal is one sentence with the place and what to write instead.

use crate::{
    error::ModelError,
    testbed::{Cores, Host, Testbed, Work},
};
use profile::{Rate, nearest};

/// The longest pause that a cost may stand for: one second.
const COST_MAX_US: f64 = 1e6;

impl Testbed {
    /// Reads a testbed that a file describes; `name` is for errors.
    ///
    /// # Errors
    ///
    /// [`ModelError::Testbed`] if a key or a value is wrong, or names something that is not described.
    pub fn read(name: &str, table: toml::Table) -> Result<Self, ModelError> {
        let wrong = |message: String| ModelError::Testbed { name: name.to_owned(), message };
        let testbed: Self = table.try_into().map_err(|error: toml::de::Error| wrong(sentence(&error)))?;
        testbed.check().map_err(wrong)?;
        Ok(testbed)
    }

    /// Multiplies the rate of every link.
    pub fn scale(&mut self, factor: f64) {
        for host in self.hosts.values_mut() {
            if let Some(Rate::Bits(bits)) = &mut host.link {
                *bits *= factor;
            }
        }
    }

    fn check(&self) -> Result<(), String> {
        let sides = [("clients.producers", &self.clients.producers), ("clients.consumers", &self.clients.consumers)];
        let nodes = self.service.nodes.iter().map(|host| ("service.nodes", host));
        for (key, host) in sides.into_iter().chain(nodes) {
            self.check_host(key, host)?;
        }
        for (name, part) in &self.parts {
            self.check_host(&format!("parts.{name}.host"), &part.host)?;
            if part.cpu.is_some_and(|cpu| !(cpu > 0.0 && cpu.is_finite())) || part.threads == 0 {
                return Err(format!("parts.{name}: cpu and threads must be above 0"));
            }
            check_work(&format!("parts.{name}.work"), part.work)?;
        }
        for (name, route) in &self.routes {
            if route.ports == Some(0) || route.addresses == Some(0) {
                return Err(format!("routes.{name}: ports and addresses must be above 0"));
            }
            for part in route.producer.iter().chain(&route.consumer) {
                if !self.parts.contains_key(part) {
                    return Err(format!(
                        "routes.{name} has the part `{part}`, which [parts] does not describe{}",
                        self.hint(part, self.parts.keys())
                    ));
                }
            }
            for first in [&route.producer, &route.consumer].into_iter().filter_map(|parts| parts.first()) {
                let hosts = self.hosts[&self.parts[first].host].count;
                if let Some(addresses) = route.addresses.filter(|addresses| *addresses != hosts) {
                    return Err(format!(
                        "routes.{name}.addresses is {addresses}, and the part `{first}` is on {hosts} host(s): use the count of its host"
                    ));
                }
            }
        }
        if self.service.nodes.is_empty() || self.service.credit == 0 {
            return Err("service: give it at least one node, and a credit above 0".to_owned());
        }
        if self.cores.values().any(|cores| *cores == 0) {
            return Err("cores: a pool needs at least one core".to_owned());
        }
        self.hosts.iter().try_for_each(|(name, host)| self.check_cores(name, host))?;
        self.check_wire()?;
        self.costs.all().into_iter().try_for_each(|(key, work)| check_work(&format!("costs.{key}"), work))
    }

    fn check_host(&self, key: &str, host: &str) -> Result<(), String> {
        match self.hosts.contains_key(host) {
            true => Ok(()),
            false => Err(format!(
                "{key} has the host `{host}`, which [hosts] does not describe{}",
                self.hint(host, self.hosts.keys())
            )),
        }
    }

    fn check_cores(&self, name: &str, host: &Host) -> Result<(), String> {
        if let Cores::Pool(pool) = &host.cores
            && !self.cores.contains_key(pool)
        {
            return Err(format!("hosts.{name} has the cores `{pool}`, a pool that [cores] does not describe"));
        }
        if host.cores == Cores::Own(0) || host.count == 0 {
            return Err(format!("hosts.{name}: cores and count must be above 0"));
        }
        match host.link {
            Some(Rate::Messages(_)) => {
                Err(format!("hosts.{name}.link is a number of messages: write a rate such as 1Gbit/s"))
            }
            _ => Ok(()),
        }
    }

    fn check_wire(&self) -> Result<(), String> {
        let wire = &self.wire;
        let sizes = [("buffer", wire.buffer), ("packet", wire.packet), ("control_bytes", wire.control_bytes)];
        let optional = [("shared_buffer", wire.shared_buffer), ("receive_buffer", wire.receive_buffer)];
        let optional = optional.into_iter().filter_map(|(key, size)| Some((key, size?)));
        if let Some((key, size)) = sizes.into_iter().chain(optional).find(|(_, size)| size.0 == 0 || size.0 > 1 << 31) {
            return Err(format!("wire.{key} is {size}: use 1B to 2GiB"));
        }
        match wire.overhead {
            overhead if (0.0..10.0).contains(&overhead) => Ok(()),
            overhead => Err(format!("wire.overhead is {overhead}: use the headers per byte of data, such as 0.04")),
        }
    }

    fn hint<'a>(&self, word: &str, known: impl Iterator<Item = &'a String>) -> String {
        let near = nearest(word, known.map(String::as_str));
        near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"))
    }
}

impl super::Costs {
    /// All of them, each with its key.
    pub fn all(&self) -> [(&'static str, Work); 10] {
        [
            ("publish", self.publish),
            ("consume", self.consume),
            ("client_control", self.client_control),
            ("receive", self.receive),
            ("enqueue", self.enqueue),
            ("dequeue", self.dequeue),
            ("deliver", self.deliver),
            ("transfer", self.transfer),
            ("node_control", self.node_control),
            ("tls", self.tls),
        ]
    }
}

fn check_work(key: &str, work: Work) -> Result<(), String> {
    let costs = [("us", work.us), ("packet_us", work.packet_us), ("byte_ns", work.byte_ns)];
    match costs.into_iter().find(|(_, cost)| !(0.0..=COST_MAX_US).contains(cost)) {
        Some((of, cost)) => Err(format!("{key}.{of} is {cost}: a cost is a number from 0 to {COST_MAX_US}")),
        None => Ok(()),
    }
}

/// An error of TOML in one line.
pub(crate) fn sentence(error: &toml::de::Error) -> String {
    error.message().lines().collect::<Vec<_>>().join(" ")
}
