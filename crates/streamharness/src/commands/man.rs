//! `streamharness man`: the manual pages, from the same description as `--help`.

use crate::terminal::exit::{Exit, Failure};
use clap::Command;
use std::{fs, path::Path};

/// Writes a page for each command to `dir`, which is made if need be.
pub fn man(dir: &Path, command: Command) -> Result<Exit, Failure> {
    let failed = |error| {
        let sentence = format!("cannot write manual pages to `{}`: {error}; give another directory", dir.display());
        Failure::new(Exit::Usage, sentence)
    };
    fs::create_dir_all(dir).map_err(failed)?;
    clap_mangen::generate_to(command, dir).map_err(failed)?;
    Ok(Exit::Pass)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::arguments::Streamharness;
    use clap::CommandFactory;

    #[test]
    fn every_command_that_help_lists_has_a_page_and_hidden_ones_have_none() {
        let dir = tempfile::tempdir().unwrap();
        let pages = dir.path().join("share/man/man1");
        man(&pages, Streamharness::command()).unwrap();
        for command in Streamharness::command().get_subcommands() {
            let page = pages.join(format!("streamharness-{}.1", command.get_name()));
            assert_eq!(page.is_file(), !command.is_hide_set(), "{}", page.display());
        }
        let text = fs::read_to_string(pages.join("streamharness-testbed-up.1")).unwrap();
        assert!(text.contains(".TH streamharness-testbed-up 1") && text.contains("cpu\\-limit"), "{text}");
    }
}
