//! Checks that the parts of a route file are consistent.

use crate::{
    error::{ProfileError, impossible},
    profile::RouteProfile,
    requests::S3mProfile,
};

impl RouteProfile {
    /// Checks that its parts describe one route.
    pub(crate) fn check(&self) -> Result<(), ProfileError> {
        if let Some(hops) = &self.hops {
            for from in ["producer", "consumer"] {
                if !hops.iter().any(|hop| hop.from == from) {
                    return impossible(format!("route.hops has no hop from `{from}`: add one, or leave the list out"));
                }
            }
        }
        if let Some(s3m) = &self.s3m {
            check_s3m(s3m, self)?;
        }
        if let Some(url) = &self.management {
            let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
            let (user, at) =
                rest.map_or((None, ""), |rest| rest.rsplit_once('@').map_or((None, rest), |(u, at)| (Some(u), at)));
            if at.trim_end_matches('/').is_empty() || at.trim_end_matches('/').contains('/') {
                return impossible(
                    "route.management is not the address of a management API: write http://HOST:15672 or https://...",
                );
            }
            if user.is_some_and(|user| user.contains(':')) {
                return impossible(
                    "route.management holds a password: leave it out, and set STREAMHARNESS_MANAGEMENT_PASSWORD where it is \
                     not that of AMQP",
                );
            }
        }
        let Some(scistream) = &self.scistream else { return Ok(()) };
        if self.hops.is_some() {
            return impossible(
                "route.hops and route.scistream exclude each other: the control servers report the hops",
            );
        }
        if self.producer_urls.is_some() {
            return impossible(
                "route.producer_urls and route.scistream exclude each other: producers connect to the tunnel that is made",
            );
        }
        if scistream.service.is_empty() {
            return impossible(
                "route.scistream has no `service`: list HOST:PORT of the brokers as its side reaches them",
            );
        }
        for (name, side) in [("producer_side", &scistream.producer_side), ("consumer_side", &scistream.consumer_side)] {
            for (key, value) in [("s2cs", &side.s2cs), ("certificate", &side.certificate)] {
                if value.is_empty() {
                    return impossible(format!("route.scistream.{name} has no `{key}`: add it"));
                }
            }
        }
        Ok(())
    }
}

fn check_s3m(s3m: &S3mProfile, route: &RouteProfile) -> Result<(), ProfileError> {
    if !["http://", "https://"].iter().any(|scheme| s3m.url.starts_with(scheme)) {
        return impossible(
            "route.s3m has no `url` of the form https://HOST: set it to the address of the S3M interface",
        );
    }
    for (key, given) in [
        ("urls", route.urls.is_some()),
        ("producer_urls", route.producer_urls.is_some()),
        ("consumer_urls", route.consumer_urls.is_some()),
        ("scistream", route.scistream.is_some()),
        ("auth", route.auth.is_some()),
        ("token_file", route.token_file.is_some()),
    ] {
        if given {
            return impossible(format!(
                "route.{key} and route.s3m exclude each other: clients connect to the cluster that is provisioned"
            ));
        }
    }
    if route.tls == Some(false) {
        return impossible("route.tls = false and route.s3m exclude each other: a managed service speaks AMQPS only");
    }
    if s3m.reuse == Some(true) && s3m.name.is_none() {
        return impossible("route.s3m.reuse needs route.s3m.name: set it to the name of the cluster");
    }
    match s3m.resources.iter().find(|(_, amount)| **amount <= 0) {
        Some((key, amount)) => impossible(format!("route.s3m.resources.{key} is {amount}: use a number above 0")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use crate::{Layer, Origin, Plan, combine};
    use std::{path::Path, time::Duration};

    fn resolve(route: &str) -> Result<Plan, String> {
        let layer = Layer::parse(Origin::File("mine.toml".into()), route).map_err(|error| error.to_string())?;
        let profile = combine(&[layer], |_| unreachable!("only shipped ones")).map_err(|error| error.to_string())?;
        Plan::resolve(&profile, 2, 1).map_err(|error| error.to_string())
    }

    #[test]
    fn a_contradictory_or_incomplete_route_is_rejected_with_the_part() {
        let side = "s2cs = 'a:1'\ncertificate = 'a.pem'";
        let both = format!("[route.scistream.producer_side]\n{side}\n[route.scistream.consumer_side]\n{side}\n");
        let s3m = "url = 'https://a'";
        for (text, expected) in [
            (both.clone(), "has no `service`"),
            ("[route.scistream]\nservice = ['a:1']".to_owned(), "producer_side has no `s2cs`"),
            (format!("[route]\nproducer_urls = ['amqp://a']\n[route.scistream]\nservice = ['a:1']\n{both}"), "exclude"),
            (
                "[[route.hops]]\nfrom = 'producer'\nto = 'service'\nprotocol = 'amqps'".to_owned(),
                "no hop from `consumer`",
            ),
            ("[route.scistream]\nservise = []".to_owned(), "did you mean `service`?"),
            ("[route.s3m]\nname = 'a'".to_owned(), "no `url`"),
            (format!("[route.s3m]\n{s3m}\nresorces = {{}}"), "did you mean `resources`?"),
            (format!("[route.s3m]\n{s3m}\nreuse = true"), "needs route.s3m.name"),
            (format!("[route.s3m]\n{s3m}\nresources = {{ nodes = 0 }}"), "route.s3m.resources.nodes is 0"),
            (format!("[route]\nurls = ['amqps://a']\n[route.s3m]\n{s3m}"), "route.urls and route.s3m exclude"),
            (format!("[route]\ntls = false\n[route.s3m]\n{s3m}"), "AMQPS only"),
            ("[route]\nmanagement = 'broker:15672'".to_owned(), "http://HOST:15672"),
            ("[route]\nmanagement = 'http://'".to_owned(), "http://HOST:15672"),
            ("[route]\nmanagement = 'http://a:secret@b:15672'".to_owned(), "STREAMHARNESS_MANAGEMENT_PASSWORD"),
        ] {
            let error = resolve(&text).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        resolve("[route]\nmanagement = 'https://admin@broker:15671/'").unwrap();
        resolve(&format!("[route.scistream]\nservice = ['a:1']\n{both}")).unwrap();
        let plan = resolve(&format!("[route.s3m]\n{s3m}\nready_within = '20min'")).unwrap();
        assert!(plan.limits.route > Duration::from_secs(1200), "ranks wait for as long as the cluster may take");
    }

    #[test]
    fn every_example_of_a_facility_resolves() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../profiles/examples");
        let mut count = 0;
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let arch = format!("arch = '{}'", path.display());
            let layer = Layer::parse(Origin::CommandLine, &arch).unwrap();
            let profile = combine(&[layer], |path| std::fs::read_to_string(path));
            let plan = profile.and_then(|profile| Plan::resolve(&profile, 8, 1));
            plan.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            count += 1;
        }
        assert_eq!(count, 4);
    }
}
