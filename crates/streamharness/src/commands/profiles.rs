//! `streamharness profiles`: lists the names for the command line.

use crate::terminal::{
    exit::{Exit, Failure},
    stdout,
};
use profile::{Kind, find, list, nearest};

const KINDS: [Kind; 3] = [Kind::Architecture, Kind::Workload, Kind::Experiment];

/// Lists the shipped profiles, or shows one (`show NAME`).
pub fn profiles(words: Vec<String>) -> Result<Exit, Failure> {
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => {
            let mut text = String::new();
            for kind in KINDS {
                let how = match kind {
                    Kind::Experiment => "streamharness sweep NAME".to_owned(),
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
