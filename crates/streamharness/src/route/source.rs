//! Where the addresses of a route come from.

use crate::{
    route::ejfat::Address,
    terminal::exit::{Exit, Failure},
};
use profile::{EjfatProfile, Profile, RouteProfile, S3mProfile, SciStreamProfile};
use std::env;
use testbed::Testbed;

/// The first of these that applies.
pub enum Source<'a> {
    /// A tunnel of SciStream that is requested.
    Tunnel(&'a SciStreamProfile),
    /// A managed service that is requested from an S3M interface.
    ManagedService(&'a S3mProfile),
    /// Of producers and of consumers.
    Given([Vec<String>; 2]),
    /// The variable, and its addresses.
    Environment(&'static str, Vec<String>),
    /// A control plane of EJFAT.
    Ejfat(Address),
    /// Consumers themselves, by EJFAT's packets.
    EjfatDirect,
    /// A running testbed, or one that is built; the name of its route.
    Testbed(&'a str),
}

impl<'a> Source<'a> {
    /// That of a profile.
    pub fn of(profile: &'a Profile) -> Result<Self, Failure> {
        let written = &profile.route;
        if let Some(ejfat) = &written.ejfat {
            return Self::over_ejfat(ejfat, written);
        }
        if let Some(scistream) = &written.scistream {
            return Ok(Self::Tunnel(scistream));
        }
        if let Some(s3m) = &written.s3m {
            return Ok(Self::ManagedService(s3m));
        }
        let given = [&written.producer_urls, &written.consumer_urls].map(|one| addresses(written, one));
        if given.iter().any(|urls| !urls.is_empty()) {
            return Ok(Self::Given(given));
        }
        // The environment names the service's own addresses; a route to them would be left out.
        if matches!(written.testbed.as_deref(), None | Some("dts" | "dts-plain"))
            && let Some((name, urls)) = urls_of_environment(has_tls(written), |name| env::var(name).ok())
        {
            return Ok(Self::Environment(name, urls));
        }
        written.testbed.as_deref().map(Self::Testbed).ok_or_else(|| {
            let arch = profile.arch.as_deref().unwrap_or_default();
            let sentence = format!("architecture `{arch}` gives no address: add --url, or urls under its [route]");
            Failure::new(Exit::Usage, sentence)
        })
    }

    fn over_ejfat(ejfat: &EjfatProfile, written: &'a RouteProfile) -> Result<Self, Failure> {
        let given = written.urls.iter().flatten().next().cloned();
        match (ejfat.direct == Some(true), given.map(Address::given).or_else(Address::of_environment)) {
            (true, _) => Ok(Self::EjfatDirect),
            (false, Some(address)) => Ok(Self::Ejfat(address)),
            (false, None) => written.testbed.as_deref().map(Self::Testbed).ok_or_else(|| {
                let sentence = "this route over EJFAT needs a control plane: set EJFAT_URI, or give --url ejfat://HOST:PORT and \
                     --token-file FILE; `--arch ejfat` streams over a testbed's";
                Failure::new(Exit::Usage, sentence)
            }),
        }
    }
}

/// Clients of a tunnel do without TLS, unless its file sets `tls`.
pub fn has_tls(written: &RouteProfile) -> bool {
    written.tls.unwrap_or(written.scistream.is_none())
}

/// The addresses of one side, or else of both.
pub fn addresses(written: &RouteProfile, one: &Option<Vec<String>>) -> Vec<String> {
    one.clone().or_else(|| written.urls.clone()).unwrap_or_default()
}

/// The testbed that runs on this host.
pub fn running_testbed() -> Result<Option<Testbed>, Failure> {
    testbed::find(&testbed::default_dir()).map_err(unusable)
}

/// A failure of the testbed.
pub fn unusable(error: testbed::Error) -> Failure {
    Failure::new(Exit::Route, error)
}

/// A failure in place of a result.
pub fn fail<T>(exit: Exit, sentence: String) -> Result<T, Failure> {
    Err(Failure::new(exit, sentence))
}

/// The variable, and its addresses, that the environment gives (`testbed exec`, `eval "$(... testbed env)"`). If several are
/// set, the one whose scheme fits the architecture; else the first, so that an address that does not fit is reported.
fn urls_of_environment(tls: bool, value: impl Fn(&str) -> Option<String>) -> Option<(&'static str, Vec<String>)> {
    let scheme = if tls { "amqps://" } else { "amqp://" };
    let names = if tls {
        ["STREAMHARNESS_URLS", "STREAMHARNESS_URL", "STREAMHARNESS_PLAIN_URLS"]
    } else {
        ["STREAMHARNESS_PLAIN_URLS", "STREAMHARNESS_URL", "STREAMHARNESS_URLS"]
    };
    let of = |name| Some((name, value(name).filter(|urls| !urls.trim().is_empty())?));
    let urls = |(name, urls): (&'static str, String)| (name, urls.split(',').map(str::to_owned).collect::<Vec<_>>());
    let mut set: Vec<_> = names.into_iter().filter_map(of).map(urls).collect();
    let fitting = set.iter().position(|(_, urls)| urls.iter().all(|url| url.starts_with(scheme)));
    (!set.is_empty()).then(|| set.swap_remove(fitting.unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_the_environment_that_does_not_fit_is_not_passed_over() {
        let (tls, plain) = ("amqps://u@h", "amqp://u@h");
        for (set, of_tls, of_plain) in [
            (&[][..], None, None),
            (&[("URL", "")], None, None),
            (&[("URL", tls)], Some("URL"), Some("URL")),
            (&[("URL", plain), ("URLS", tls)], Some("URLS"), Some("URL")),
            (&[("URL", tls), ("URLS", tls), ("PLAIN_URLS", plain)], Some("URLS"), Some("PLAIN_URLS")),
            (&[("PLAIN_URLS", plain)], Some("PLAIN_URLS"), Some("PLAIN_URLS")),
            (&[("URL", "http://h")], Some("URL"), Some("URL")),
        ] {
            let value = |name: &str| {
                set.iter().find(|(one, _)| name == format!("STREAMHARNESS_{one}")).map(|(_, urls)| (*urls).to_owned())
            };
            let name = |tls| urls_of_environment(tls, value).map(|(name, _)| name.trim_start_matches("STREAMHARNESS_"));
            assert_eq!((name(true), name(false)), (of_tls, of_plain), "{set:?}");
        }
    }
}
