//! The parts of a heterogeneous launch, `mpirun -n 2 PROGRAM --role producer : -n 6 PROGRAM --role consumer`: each gives its ranks a
//! role, and all other settings are those of rank 0.

use crate::{
    cli::arguments::Streamharness,
    terminal::exit::{Exit, Failure},
};
use clap::{ArgMatches, Command, CommandFactory, parser::ValueSource};
use profile::{Profile, Role};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, env, ffi::OsString};

const ROLE: &str = "role";

/// What a part of the command states of its ranks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    role: Option<Role>,
    /// The command, such as `sweep`; empty for a run without its name.
    command: String,
    /// The values of each option, by the name that a user types.
    stated: BTreeMap<String, Vec<String>>,
}

/// The command line of this rank, which has been found valid.
pub fn own() -> Part {
    Part::typed(env::args_os()).unwrap_or_default()
}

/// The role of each rank, or none; refuses ranks that contradict rank 0.
pub fn roles(parts: &[Part]) -> Result<Vec<Role>, Failure> {
    let refuse = |sentence: String| Err(Failure::new(Exit::Usage, sentence));
    let Some((first, others)) = parts.split_first() else { return Ok(Vec::new()) };
    for (rank, other) in (1..).zip(others) {
        if let Some(what) = other.contradiction(first) {
            return refuse(format!("rank {rank} {what}"));
        }
    }
    let roles: Vec<Role> = parts.iter().filter_map(|part| part.role).collect();
    match parts.iter().position(|part| part.role.is_none()) {
        Some(rank) if !roles.is_empty() => {
            refuse(format!("rank {rank} has no --role, and others have one: give one to each part of the command"))
        }
        _ => Ok(roles),
    }
}

/// Gives the ranks of a profile the roles of their parts, if they have any.
pub fn place(profile: &mut Profile, roles: &[Role]) -> Result<(), Failure> {
    if !roles.is_empty() && profile.roles.replace(roles.to_vec()).is_some() {
        let sentence = "--role and `roles` of the profile both place producers and consumers: leave one of them out";
        return Err(Failure::new(Exit::Profile, sentence));
    }
    Ok(())
}

impl Part {
    fn typed(words: impl IntoIterator<Item = OsString>) -> Option<Self> {
        let command = Streamharness::command();
        let matches = command.clone().try_get_matches_from(words).ok()?;
        let mut part = Self::default();
        part.read(&command, &matches);
        if let Some((name, within)) = matches.subcommand() {
            part.read(command.find_subcommand(name)?, within);
            // A run has the same options without its name.
            part.command = if name == "run" { String::new() } else { name.to_owned() };
        }
        Some(part)
    }

    fn read(&mut self, command: &Command, matches: &ArgMatches) {
        for argument in command.get_arguments() {
            let id = argument.get_id().as_str();
            if matches.value_source(id) != Some(ValueSource::CommandLine) {
                continue;
            }
            if id == ROLE {
                self.role = matches.get_one(ROLE).copied();
                continue;
            }
            let name = argument.get_long().map_or_else(|| id.to_uppercase(), |long| format!("--{long}"));
            let values = matches.get_raw(id).into_iter().flatten();
            self.stated.insert(name, values.map(|value| value.to_string_lossy().into_owned()).collect());
        }
    }

    /// In what it contradicts rank 0. Without values, which may be secret.
    fn contradiction(&self, first: &Self) -> Option<String> {
        let name = |command: &str| if command.is_empty() { "run".to_owned() } else { command.to_owned() };
        if self.command != first.command {
            let (own, other) = (name(&self.command), name(&first.command));
            return Some(format!("has the command `{own}`, and rank 0 `{other}`: type the same one in each part"));
        }
        let agrees = |name: &String, values: &Vec<String>| {
            first.stated.get(name).is_some_and(|known| values.iter().all(|value| known.contains(value)))
        };
        self.stated.iter().find(|(name, values)| !agrees(name, values)).map(|(name, _)| {
            let how = if first.stated.contains_key(name) { "otherwise than rank 0" } else { "and rank 0 does not" };
            format!(
                "states {name}, {how}: all settings but --role come from rank 0, so state them in the first part of the command only"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(parts: &[&str]) -> Result<Vec<Role>, String> {
        let typed = |words: &&str| {
            Part::typed(["streamharness"].into_iter().chain(words.split_whitespace()).map(OsString::from)).unwrap()
        };
        roles(&parts.iter().map(typed).collect::<Vec<_>>()).map_err(|failure| failure.sentence)
    }

    #[test]
    fn ranks_have_the_role_of_their_part_and_the_settings_of_rank_0() {
        assert_eq!(judged(&["--rate 5/s", "--rate 5/s"]), Ok(Vec::new()));
        let mixed = Ok(vec![Role::Producer, Role::Consumer]);
        assert_eq!(judged(&["--role producer --rate 5/s --strict", "--role consumer"]), mixed);
        assert_eq!(
            judged(&["run --role producer --set seed=1 --set verify=all", "--role consumer --set verify=all"]),
            mixed
        );
        assert_eq!(judged(&["sweep loss-quick --role producer", "sweep loss-quick --role consumer"]), mixed);
    }

    #[test]
    fn a_part_that_says_otherwise_is_refused_by_the_name_of_what_it_says() {
        for (parts, expected) in [
            (
                ["--role producer", "--role consumer --rate 5/s"],
                "rank 1 states --rate, and rank 0 does not: all settings",
            ),
            (
                ["--role producer --rate 4/s", "--role consumer --rate 5/s"],
                "rank 1 states --rate, otherwise than rank 0: all settings",
            ),
            (["--strict", "--i-own-this-service"], "rank 1 states --i-own-this-service"),
            (["mine.toml", "yours.toml"], "rank 1 states PROFILE, otherwise"),
            (
                ["sweep loss-quick --role producer", "--role consumer --rate 5/s"],
                "rank 1 has the command `run`, and rank 0 `sweep`",
            ),
            (["--role producer", ""], "rank 1 has no --role"),
            (["", "--role producer"], "rank 0 has no --role"),
            (["--url amqp://me:secret@a", "--url amqp://me:secret@b"], "rank 1 states --url, otherwise"),
        ] {
            let sentence = judged(&parts).unwrap_err();
            assert!(sentence.contains(expected) && !sentence.contains("secret"), "{sentence}");
        }
    }
}
