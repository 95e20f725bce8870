//! The programs that the parts on this host are started from: found, or all that are missing reported at once.

use crate::{
    Error, Result, Routes,
    identity::Identity,
    rabbitmq::install::{Install, Missing},
    tunnels::ControlServers,
};
use scistream::Kind;

/// Checks that this host has every program for a testbed with these routes, and that the user of its parts can start it.
///
/// # Errors
///
/// [`Error::Missing`] with all that is missing, and the remedy.
pub fn check_programs(routes: &Routes) -> Result<()> {
    find(routes, &Identity::choose()?).map(drop)
}

/// The RabbitMQ and Erlang of this host, if it also has the programs of all proxies.
pub fn find(routes: &Routes, identity: &Identity) -> Result<Install> {
    let managed = routes.managed.map(|_| Kind::Haproxy);
    let kinds = ControlServers::kinds(&routes.proxies).into_iter().chain(managed);
    let (mut missing, mut programs) = (Vec::new(), Vec::new());
    let install = Install::find().map_err(|lacking| missing.extend(lacking)).ok();
    programs.extend(install.iter().flat_map(|install| [install.server.clone(), install.epmd.clone()]));
    for kind in kinds {
        match kind.find() {
            Ok(program) => programs.push(program),
            Err(scistream::Error::NoProgram { program, place, package, variable }) => {
                let lacking = Missing { what: format!("no {program} in {place}"), package, variable };
                // Two kinds may have one program.
                missing.extend((!missing.contains(&lacking)).then_some(lacking));
            }
            Err(error) => return Err(error.into()),
        }
    }
    match install {
        Some(install) if missing.is_empty() => {
            programs.iter().try_for_each(|program| identity.can_start(program))?;
            Ok(install)
        }
        _ => Err(lacks(&missing)),
    }
}

fn lacks(missing: &[Missing]) -> Error {
    let all = |word: fn(&Missing) -> &str, between| missing.iter().map(word).collect::<Vec<_>>().join(between);
    Error::Missing {
        what: all(|one| &one.what, ", "),
        packages: all(|one| one.package, " "),
        variables: all(|one| one.variable, ", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_a_host_lacks_is_one_sentence_with_every_package_and_variable() {
        let one = |what: &str, package, variable| Missing { what: what.to_owned(), package, variable };
        let missing = [one("no a in /x", "pa", "VA"), one("no b in the PATH", "pb", "VB")];
        assert_eq!(
            lacks(&missing).to_string(),
            "this host has no a in /x, no b in the PATH: apt-get install pa pb, or run launch/setup, or unpack elsewhere and \
             set VA, VB (docs/cluster.md)"
        );
    }
}
