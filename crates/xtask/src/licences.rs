//! The licences of the crates that are linked into the program, as one text.

use crate::cargo::root;
use anyhow::{Context, Result};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, NodeDep, Package, PackageId};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

const PROGRAM: &str = "streamharness";
/// How files with licences begin, in lower case.
const NAMES: [&str; 6] = ["license", "licence", "copying", "copyright", "notice", "unlicense"];

/// Each crate with its licence, then each text once, with the crates that have it.
pub fn text() -> Result<String> {
    // Without those of other systems.
    let metadata =
        MetadataCommand::new().current_dir(root()).other_options(["--filter-platform".to_owned(), host()?]).exec()?;
    let linked = linked(&metadata)?;
    let foreign: Vec<&Package> =
        metadata.packages.iter().filter(|package| linked.contains(&package.id) && package.source.is_some()).collect();
    let named = |package: &Package| format!("{} {}", package.name, package.version);
    let mut text = format!("{PROGRAM} is linked with these crates, each under the licence beside it.\n\n");
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in foreign {
        let licence = package.license.as_deref().unwrap_or("see below");
        text += &format!("{:40} {licence}\n", named(package));
        let folder = package.manifest_path.parent().context("a manifest is in a folder")?;
        for licence in texts_in(folder.as_std_path())? {
            texts.entry(licence).or_default().push(named(package));
        }
    }
    for (licence, crates) in texts {
        text += &format!("\n{}\n{}\n\n{licence}\n", "-".repeat(80), crates.join(", "));
    }
    Ok(text)
}

/// The program, and all crates whose code it contains.
fn linked(metadata: &Metadata) -> Result<BTreeSet<PackageId>> {
    let resolve = metadata.resolve.as_ref().context("cargo resolves no dependencies")?;
    let program = metadata.packages.iter().find(|package| package.name.as_str() == PROGRAM);
    let mut found = BTreeSet::new();
    let mut open = vec![program.context("the program is not in the workspace")?.id.clone()];
    while let Some(id) = open.pop() {
        if !found.insert(id.clone()) {
            continue;
        }
        let node = resolve.nodes.iter().find(|node| node.id == id).context("a dependency is not resolved")?;
        let is_macro = |id: &PackageId| {
            let package = metadata.packages.iter().find(|package| package.id == *id);
            package.is_some_and(|package| package.targets.iter().any(|target| target.is_proc_macro()))
        };
        let linked = |dependency: &&NodeDep| {
            dependency.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal) && !is_macro(&dependency.pkg)
        };
        open.extend(node.deps.iter().filter(linked).map(|dependency| dependency.pkg.clone()));
    }
    Ok(found)
}

/// The system that programs are built for here, as rustc names it.
fn host() -> Result<String> {
    let output = Command::new("rustc").arg("-vV").output().context("rustc does not start")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc names no host")?.to_owned())
}

/// The texts of the licences in a crate's folder.
fn texts_in(folder: &Path) -> Result<BTreeSet<String>> {
    let mut texts = BTreeSet::new();
    for entry in fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        if path.is_file() && NAMES.iter().any(|known| name.starts_with(known)) {
            texts.insert(String::from_utf8_lossy(&fs::read(&path)?).trim().replace('\r', ""));
        }
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_linked_crate_is_there_with_a_licence_and_none_that_only_builds_or_tests() {
        let text = text().unwrap();
        let list: Vec<&str> = text.lines().skip(2).take_while(|line| !line.is_empty()).collect();
        let has = |name: &str| list.iter().any(|line| line.starts_with(&format!("{name} ")));
        assert!(has("lapin") && has("rustls") && has("serde") && has("mpi"), "{list:#?}");
        for other in ["bindgen", "cargo_metadata", "serde_derive", "libfuzzer-sys", "windows-sys"] {
            assert!(!has(other), "{other} in {list:#?}");
        }
        assert!(list.iter().all(|line| !line.ends_with("see below")), "{list:#?}");
        assert!(text.contains("TERMS AND CONDITIONS FOR USE, REPRODUCTION, AND DISTRIBUTION"));
    }

    #[test]
    fn texts_of_licences_are_found_by_the_names_of_their_files() {
        let folder = std::env::temp_dir().join(format!("streamharness-licences-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        for (name, text) in [("LICENSE-MIT", "MIT\r\n"), ("LICENSE.txt", "MIT\n"), ("COPYING", "GPL"), ("lib.rs", "x")]
        {
            fs::write(folder.join(name), text).unwrap();
        }
        let texts = texts_in(&folder);
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(texts.unwrap().into_iter().collect::<Vec<_>>(), ["GPL", "MIT"]);
    }
}
