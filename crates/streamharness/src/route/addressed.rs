//! Given addresses, each as a route of its own, to look at before a run.

use super::trust;
use crate::terminal::exit::{Exit, Failure};
use profile::RouteProfile;
use transport_amqp::{AmqpRoute, Endpoint, Scheme};

/// A route to each address of either side, with the trust of the profile and without a login.
pub fn routes(written: &RouteProfile) -> Result<Vec<AmqpRoute>, Failure> {
    let mut urls: Vec<&String> = Vec::new();
    for url in [&written.urls, &written.producer_urls, &written.consumer_urls].into_iter().flatten().flatten() {
        if !urls.contains(&url) {
            urls.push(url);
        }
    }
    let route = |url: &String| {
        let endpoint = Endpoint::parse(url).map_err(|error| Failure::new(Exit::Usage, error))?;
        let trust = trust(written, endpoint.scheme == Scheme::Amqps)?;
        Ok(AmqpRoute { producer: vec![endpoint.clone()], consumer: vec![endpoint], ..trust })
    };
    urls.into_iter().map(route).collect()
}
