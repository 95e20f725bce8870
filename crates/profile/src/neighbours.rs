//! Other tenants of the service: launches of their own beside the measured run, of one producer and one consumer each.

use crate::{
    arrivals::LoadRate,
    defaults,
    error::{ProfileError, impossible},
    layers::{Layer, combine},
    origin::Origin,
    profile::{NeighboursProfile, Profile},
};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use toml::{Table, Value};

/// They share a host with rank 0.
const TENANTS_MAX: u32 = 16;

/// The tenants, resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Neighbours {
    /// How many.
    pub tenants: u32,
    /// What each of them streams.
    pub workload: String,
    /// How fast.
    pub rate: LoadRate,
}

impl Neighbours {
    /// `None` if nothing is written about them.
    pub(crate) fn resolve(written: &NeighboursProfile) -> Result<Option<Self>, ProfileError> {
        if *written == NeighboursProfile::default() {
            return Ok(None);
        }
        let Some(tenants) = written.tenants else {
            return impossible("neighbours without a number: set neighbours.tenants, such as 2");
        };
        if tenants > TENANTS_MAX {
            return impossible(format!(
                "neighbours.tenants = {tenants}: they share a host with rank 0, so use {TENANTS_MAX} at most"
            ));
        }
        let Some(rate) = written.rate else {
            return impossible("neighbours without a rate: set neighbours.rate, such as 2000/s for each of them");
        };
        let workload = written.workload.clone().unwrap_or_else(|| defaults::WORKLOAD.to_owned());
        Ok(Some(Self { tenants, workload, rate }))
    }

    /// The profile of one of them, by the route of the measured run. `read` reads a file that is not shipped.
    ///
    /// # Errors
    ///
    /// [`ProfileError`] if there is no such workload.
    pub fn profile(
        &self,
        measured: &Profile,
        number: u32,
        duration: Duration,
        read: impl FnMut(&str) -> std::io::Result<String>,
    ) -> Result<Profile, ProfileError> {
        let text = |text: String| Value::String(text);
        let load = Table::from_iter([("rate".to_owned(), text(self.rate.to_string()))]);
        let mut table = Table::from_iter([
            ("workload".to_owned(), text(self.workload.clone())),
            ("duration".to_owned(), text(format!("{}s", duration.as_secs()))),
            ("producers".to_owned(), Value::Integer(1)),
            ("consumers".to_owned(), Value::Integer(1)),
            // Bodies of their own, by number.
            ("seed".to_owned(), Value::Integer(i64::from(number))),
            ("load".to_owned(), Value::Table(load)),
        ]);
        table.extend(measured.arch.clone().map(|arch| ("arch".to_owned(), text(arch))));
        let profile = combine(&[Layer::new(Origin::CommandLine, table)?], read)?;
        Ok(Profile { route: measured.route.clone(), ..profile })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(text: &str) -> Result<(Profile, Option<Neighbours>), ProfileError> {
        let profile =
            combine(&[Layer::parse(Origin::CommandLine, text)?], |_| Err(std::io::ErrorKind::NotFound.into()))?;
        let neighbours = Neighbours::resolve(&profile.neighbours)?;
        Ok((profile, neighbours))
    }

    #[test]
    fn each_tenant_is_a_run_by_the_same_route_with_bodies_of_its_own() {
        let text = "arch = 'dts'\nworkload = 'lstream'\n[route]\nnodes = 1\n[neighbours]\ntenants = 2\nrate = '500/s'";
        let (measured, neighbours) = resolved(text).unwrap();
        let neighbours = neighbours.unwrap();
        let profile =
            |number| neighbours.profile(&measured, number, Duration::from_secs(90), |_| unreachable!()).unwrap();
        let first = profile(1);
        assert_eq!((first.arch.as_deref(), first.workload.as_deref()), (Some("dts"), Some("dstream")));
        assert_eq!(first.route, measured.route);
        assert_eq!(first.load.rate.as_ref().map(ToString::to_string).as_deref(), Some("500/s"));
        assert_ne!(first.seed, profile(2).seed);
        assert_eq!(first.neighbours, NeighboursProfile::default(), "they have none themselves");
    }

    #[test]
    fn tenants_without_a_number_or_a_rate_and_too_many_are_rejected_with_what_to_write() {
        assert_eq!(resolved("").unwrap().1, None);
        assert_eq!(resolved("[neighbours]\ntenants = 0\nrate = '5/s'").unwrap().1.unwrap().tenants, 0);
        for (written, remedy) in [
            ("tenants = 2", "such as 2000/s"),
            ("rate = '5/s'", "neighbours.tenants, such as 2"),
            ("tenants = 17\nrate = '5/s'", "use 16 at most"),
        ] {
            let error = resolved(&format!("[neighbours]\n{written}")).unwrap_err().to_string();
            assert!(error.contains(remedy), "{error}");
        }
    }
}
