//! `streamharness profiles`: lists the names for the command line.

use crate::{
    route,
    terminal::{
        exit::{Exit, Failure},
        stdout,
    },
};
use figures::tables;
use profile::{Kind, find, list, nearest};

const KINDS: [Kind; 4] = [Kind::Architecture, Kind::Workload, Kind::Experiment, Kind::Network];

/// Lists the shipped profiles, or shows one (`show NAME`).
pub fn profiles(words: Vec<String>) -> Result<Exit, Failure> {
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => {
            let mut text = String::new();
            for kind in KINDS {
                let how = match kind {
                    Kind::Experiment => "streamharness sweep NAME".to_owned(),
                    Kind::Network => "streamharness testbed up --network facility --distance NAME".to_owned(),
                    _ => format!("--{}", kind.key()),
                };
                text += &format!("{} ({how})\n", kind.noun());
                for shipped in list(kind) {
                    let about = shipped.text.lines().next().unwrap_or_default().trim_start_matches("# ");
                    text += &format!("  {:31} {about}\n", shipped.name);
                }
            }
            stdout::print(&text)?;
            Ok(Exit::Pass)
        }
        ["show", name] => {
            let Some(shipped) = KINDS.into_iter().find_map(|kind| find(kind, name)) else {
                let names = KINDS.into_iter().flat_map(list).map(|shipped| shipped.name);
                let hint = nearest(name, names).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
                return Err(Failure::new(Exit::Usage, format!("no profile is called `{name}`{hint}")));
            };
            stdout::print(shipped.text)?;
            Ok(Exit::Pass)
        }
        _ => Err(Failure::new(Exit::Usage, "write `streamharness profiles` or `streamharness profiles show NAME`")),
    }
}

/// The effort behind each architecture that the running testbed's firewall lets through.
pub fn effort() -> Result<Exit, Failure> {
    let testbed = route::source::running_testbed()?.filter(|testbed| testbed.firewall().is_some()).ok_or_else(|| {
        let sentence = "the effort is what a testbed with a firewall has set up: start one with `streamharness testbed up --network \
             facility --sites --firewall --arch all`";
        Failure::new(Exit::Route, sentence)
    })?;
    let known = testbed::Opened::of(["all"]);
    let all: Vec<_> = known.names().filter_map(|name| Some((name, route::effort::effort(&testbed, name)?))).collect();
    let mut text = tables::aligned(&tables::effort(all.iter().map(|(name, effort)| (*name, effort))));
    text += &format!("{}\n", tables::EFFORT_NOTE);
    for (name, effort) in &all {
        text += &format!("\n{name}\n");
        for (what, words) in [
            ("certificates", &effort.certificates),
            ("secrets", &effort.secrets),
            ("parties", &effort.parties),
            ("steps", &effort.steps),
        ] {
            let words = if words.is_empty() { "none".to_owned() } else { words.join("; ") };
            text += &format!("  {what:12} {words}\n");
        }
        text += &format!("  {:12} {}\n", "stated in", effort.stated_in);
    }
    stdout::print(&text)?;
    Ok(Exit::Pass)
}
