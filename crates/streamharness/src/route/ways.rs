//! What a program of others needs to reach the service of a run: its address, its login, the authority to trust.

use profile::{RouteProfile, Side};
use std::{env, path::PathBuf, time::Duration};
use transport_amqp::{AmqpRoute, Endpoint, Scheme};

/// Where programs of others find the service.
#[derive(Debug, Clone, Default)]
pub struct Ways {
    /// Addresses of both sides.
    pub amqp: AmqpRoute,
    /// The file with the password, if there is one.
    pub password_file: Option<PathBuf>,
    /// The certificate of the authority to trust, if it is in a file.
    pub ca: Option<PathBuf>,
}

impl Ways {
    /// With the addresses of a route, and with the files that the user has named, unless a testbed has its own.
    pub fn with(self, written: &RouteProfile, amqp: &AmqpRoute) -> Self {
        let variable = |name| env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from);
        Self {
            amqp: amqp.clone(),
            password_file: self.password_file.or_else(|| variable("STREAMHARNESS_PASSWORD_FILE")),
            ca: self.ca.or_else(|| written.ca.clone().map(PathBuf::from)).or_else(|| variable("STREAMHARNESS_CA")),
        }
    }

    /// What the run waits for, and what that needs. Contains no secret.
    pub fn awaited(&self, side: Side, queues: &[String], limit: Duration) -> String {
        let (what, endpoints) = match side {
            Side::Consumer => ("consumer of", &self.amqp.consumer),
            Side::Producer => ("message to", &self.amqp.producer),
        };
        let queues = queues.iter().map(|queue| format!("queue `{queue}`")).collect::<Vec<_>>().join(" and ");
        let mut sentence = format!("waiting up to {} s for a {what} {queues}", limit.as_secs_f64());
        if let Some(first) = endpoints.first() {
            sentence += &format!("; address: {first}, {}", self.login(first));
        }
        sentence
    }

    fn login(&self, endpoint: &Endpoint) -> String {
        let user = endpoint.user();
        let login = match self.password_file.as_ref().filter(|_| endpoint.password.is_none() && !endpoint.external) {
            Some(file) => format!("login: user `{user}` with the password in {}", file.display()),
            None if endpoint.external => "login: by the client's certificate, as this run".to_owned(),
            None => format!("login: user `{user}`, as this run or as another user of yours"),
        };
        match &self.ca {
            Some(ca) if endpoint.scheme == Scheme::Amqps => format!("{login}; authority to trust: {}", ca.display()),
            _ => login,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_external_program_needs_is_told_without_a_secret() {
        let endpoint = Endpoint::parse("amqps://me:hidden@host:5671").unwrap();
        let amqp = AmqpRoute { consumer: vec![endpoint.clone()], producer: vec![endpoint], ..AmqpRoute::default() };
        let given = Ways { amqp: amqp.clone(), ..Ways::default() };
        let said = given.awaited(Side::Consumer, &["work.0".to_owned()], Duration::from_secs(60));
        assert!(
            said.starts_with("waiting up to 60 s for a consumer of queue `work.0`; address: amqps://me@host:5671"),
            "{said}"
        );
        let endpoint = Endpoint::parse("amqps://me@host:5671").unwrap();
        let amqp = AmqpRoute { producer: vec![endpoint], ..amqp };
        let testbeds = Ways { amqp, password_file: Some("/t/password".into()), ca: Some("/t/ca.pem".into()) };
        let told = testbeds.awaited(Side::Producer, &["a".to_owned(), "b".to_owned()], Duration::from_secs(1));
        for part in ["message to queue `a` and queue `b`", "/t/password", "/t/ca.pem"] {
            assert!(told.contains(part), "{told}");
        }
        assert!(!said.contains("hidden") && !told.contains("hidden"));
    }
}
