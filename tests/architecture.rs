//! The workspace has the structure that docs/architecture.md describes.

use anyhow::{Context, Result, bail};
use cargo_metadata::{Dependency, DependencyKind, Metadata, MetadataCommand};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

const PAGE: &str = "docs/architecture.md";
const REASONS: &str = "docs/decisions/dependencies.md";
const HEADER: [&str; 2] = ["crate", "depends on"];

/// Foreign crates that only these of ours may name: the library and all its relatives.
const LINKED_BY_FEW: [(&[&str], &[&str]); 3] = [
    (&["lapin", "amq-protocol"], &["transport-amqp"]),
    (&["mpi", "mpi-sys"], &["comm-mpi"]),
    (&["hdf5", "hdf5-sys", "hdf5-metno", "hdf5-metno-sys"], &["hdf5-image", "payload", "export-hdf5"]),
];

/// Crates that wait for nothing, so that their tests take milliseconds and their callers own the clock.
const WITHOUT_TOKIO: [&str; 4] = ["comm-mpi", "measure", "payload", "profile"];

type Edges = BTreeSet<(String, String)>;

/// For each file of a crate, as the path of its module, those that its `crate::` paths name.
type Uses = BTreeMap<Vec<String>, BTreeSet<Vec<String>>>;

#[test]
fn crates_depend_on_each_other_as_on_the_architecture_page() {
    let metadata = metadata();
    let page = fs::read_to_string(metadata.workspace_root.join(PAGE)).unwrap_or_else(|error| panic!("{PAGE}: {error}"));
    let (_, written) = table(&page).unwrap_or_else(|error| panic!("{PAGE}: {error:#}"));
    let real = edges(&metadata);
    let undocumented: Vec<_> = real.difference(&written).collect();
    let gone: Vec<_> = written.difference(&real).collect();
    assert!(
        undocumented.is_empty() && gone.is_empty(),
        "an edge is an architectural decision, so {PAGE} changes with it.\n  \
         in a Cargo.toml only: {undocumented:?}\n  on the page only: {gone:?}"
    );
}

#[test]
fn every_crate_has_a_row_on_the_architecture_page_and_no_row_is_without_a_crate() {
    let metadata = metadata();
    let page = fs::read_to_string(metadata.workspace_root.join(PAGE)).unwrap_or_else(|error| panic!("{PAGE}: {error}"));
    let (rows, _) = table(&page).unwrap_or_else(|error| panic!("{PAGE}: {error:#}"));
    let crates = metadata.workspace_root.join("crates");
    let members: BTreeSet<String> = metadata
        .workspace_packages()
        .iter()
        .filter(|package| package.manifest_path.starts_with(&crates))
        .map(|package| package.name.to_string())
        .collect();
    assert_eq!(rows, members, "left: rows of {PAGE}; right: folders of crates/");
}

#[test]
fn a_foreign_library_is_named_by_its_own_crates_only() {
    for package in metadata().workspace_packages() {
        for dependency in &package.dependencies {
            for (libraries, owners) in LINKED_BY_FEW {
                assert!(
                    !libraries.contains(&dependency.name.as_str()) || owners.contains(&package.name.as_str()),
                    "{} names {}; only {owners:?} may, the rest goes through its port",
                    package.name,
                    dependency.name
                );
            }
        }
    }
}

#[test]
fn the_crates_that_wait_for_nothing_are_without_tokio() {
    for package in metadata().workspace_packages() {
        let tokio = package
            .dependencies
            .iter()
            .any(|dependency| dependency.name == "tokio" && dependency.kind == DependencyKind::Normal);
        assert!(!(tokio && WITHOUT_TOKIO.contains(&package.name.as_str())), "{} names tokio", package.name);
    }
}

#[test]
fn every_foreign_crate_has_its_reason_on_the_page_of_dependencies() {
    let metadata = metadata();
    let page = fs::read_to_string(metadata.workspace_root.join(REASONS)).expect(REASONS);
    let reasons: BTreeSet<&str> = page.lines().filter_map(cells).map(|cells| cells[0]).collect();
    let foreign = |dependency: &&Dependency| dependency.path.is_none();
    for package in metadata.workspace_packages() {
        for dependency in package.dependencies.iter().filter(foreign) {
            assert!(
                reasons.contains(dependency.name.as_str()),
                "{} names {}: say why in a row of {REASONS}, or do without",
                package.name,
                dependency.name
            );
        }
    }
}

#[test]
fn no_library_writes_lines_in_pieces() {
    let crates = metadata().workspace_root.join("crates");
    for folder in fs::read_dir(crates).unwrap().flatten() {
        let Ok(text) = fs::read_to_string(folder.path().join("src/lib.rs")) else { continue };
        assert!(
            text.contains("\n#![warn(clippy::print_stdout, clippy::print_stderr)]\n"),
            "{}: `println!` and `eprintln!` write in pieces, and panic where nobody reads; forbid them",
            folder.path().display()
        );
    }
}

#[test]
fn a_crate_is_named_after_its_folder() {
    for package in metadata().workspace_packages() {
        assert_eq!(package.manifest_path.parent().and_then(|folder| folder.file_name()), Some(package.name.as_str()));
    }
}

#[test]
fn no_crate_has_a_circle_of_files() {
    for package in metadata().workspace_packages() {
        let folder = package.manifest_path.with_file_name("src");
        let mut files = BTreeMap::new();
        read_sources(folder.as_std_path(), &[], &mut files);
        let circles = circles(uses(&files));
        assert!(
            circles.is_empty(),
            "{}: these files name each other in circles: {circles:?}; move what they share to a file below them",
            package.name
        );
    }
}

#[test]
fn a_circle_is_found_and_what_only_leads_to_or_from_it_is_not_part_of_it() {
    let files = [
        ("a", "use crate::{b::{B, c::C}, leaf};\nfn f() {}"),
        ("b", "// use crate::leaf;\npub mod c;\nuse crate::d::D;"),
        ("b/c", "fn c() -> crate::d::D {}\n#[cfg(test)]\nmod tests { use crate::a; }"),
        ("d", "use crate::{\n    b::{\n        c::C as Other,\n    },\n    leaf,\n};"),
        ("leaf", "use crate::Root;"),
    ];
    let module = |name: &str| name.split('/').map(str::to_owned).collect::<Vec<_>>();
    let files = files.map(|(name, text)| (module(name), text.to_owned())).into();
    assert_eq!(circles(uses(&files)), [module("b/c"), module("d")].into());
}

#[test]
fn the_table_is_found_among_other_tables() {
    let page = "# A\n\n| word | meaning |\n|---|---|\n| run | one |\n\n\
        | crate | depends on |\n|:--|:--|\n| `a` | `b`, c |\n| b | - |\n| c | b |\n\nafter | it\n";
    let (rows, edges) = table(page).expect("a table");
    assert_eq!(rows, ["a", "b", "c"].map(String::from).into());
    assert_eq!(edges, [("a", "b"), ("a", "c"), ("c", "b")].map(|(from, to)| (from.into(), to.into())).into());
}

#[test]
fn a_page_without_the_table_or_with_a_torn_row_is_refused() {
    assert!(table("# Architecture\n").is_err());
    assert!(table("| crate | depends on |\n|---|---|\n| a |\n").is_err());
}

fn metadata() -> Metadata {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    MetadataCommand::new().manifest_path(manifest).no_deps().exec().expect("cargo metadata works where cargo test does")
}

/// Normal dependencies of one crate of `crates/` on another. Tests may name any of them.
fn edges(metadata: &Metadata) -> Edges {
    let crates = metadata.workspace_root.join("crates");
    let mut packages = metadata.workspace_packages();
    packages.retain(|package| package.manifest_path.starts_with(&crates));
    let members: BTreeSet<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    packages
        .iter()
        .flat_map(|package| package.dependencies.iter().map(move |dependency| (package, dependency)))
        .filter(|(_, dependency)| {
            dependency.kind == DependencyKind::Normal && members.contains(dependency.name.as_str())
        })
        .map(|(package, dependency)| (package.name.to_string(), dependency.name.clone()))
        .collect()
}

/// Sources below a folder, by the paths of their modules; the crate's root has none.
fn read_sources(folder: &Path, module: &[String], files: &mut BTreeMap<Vec<String>, String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let mut module = module.to_vec();
        module.push(path.file_stem().expect("it has a name").to_string_lossy().into_owned());
        if path.is_dir() {
            read_sources(&path, &module, files);
        } else if path.extension().is_some_and(|ending| ending == "rs") && module != ["lib"] && module != ["main"] {
            files.insert(module, fs::read_to_string(&path).expect("sources are text"));
        }
    }
}

/// What the files name, outside of comments and tests.
fn uses(files: &BTreeMap<Vec<String>, String>) -> Uses {
    let of = |(module, text): (&Vec<String>, &String)| {
        let code: String = text
            .lines()
            .take_while(|line| !line.starts_with("#[cfg(test)]"))
            .flat_map(|line| [line.split("//").next().unwrap_or_default(), " "])
            .collect();
        let mut paths = Vec::new();
        code.split("crate::").skip(1).for_each(|tree| {
            read_tree(tree, &[], &mut paths);
        });
        let named = paths.into_iter().filter_map(|mut path: Vec<String>| {
            while !path.is_empty() && !files.contains_key(&path) {
                path.pop();
            }
            (!path.is_empty() && path != *module).then_some(path)
        });
        (module.clone(), named.collect())
    };
    files.iter().map(of).collect()
}

/// The paths of a use tree, such as `a::{b, c::d}`, at the beginning of a text; returns what follows it.
fn read_tree<'a>(text: &'a str, before: &[String], paths: &mut Vec<Vec<String>>) -> &'a str {
    let text = text.trim_start();
    if let Some(mut list) = text.strip_prefix('{') {
        loop {
            if let Some(after) = list.trim_start().strip_prefix('}') {
                return after;
            }
            list = read_tree(list, before, paths);
            let end = list.find([',', '}']).unwrap_or(list.len());
            let after = list.get(end + 1..).unwrap_or_default();
            if !list[end..].starts_with(',') {
                return after;
            }
            list = after;
        }
    }
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let path = [before, &[text[..end].to_owned()]].concat();
    if let Some(rest) = text[end..].strip_prefix("::") {
        return read_tree(rest, &path, paths);
    }
    paths.push(path);
    &text[end..]
}

/// The files that are left once those are taken away that name none of the others, or that none of the others names.
fn circles(mut uses: Uses) -> BTreeSet<Vec<String>> {
    loop {
        let named: BTreeSet<_> = uses.values().flatten().cloned().collect();
        let left: Uses = uses
            .iter()
            .filter(|(file, names)| named.contains(*file) && names.iter().any(|name| uses.contains_key(name)))
            .map(|(file, names)| (file.clone(), names.clone()))
            .collect();
        if left.len() == uses.len() {
            return left.into_keys().collect();
        }
        uses = left;
    }
}

/// The crates and the edges of the page's dependency table.
fn table(page: &str) -> Result<(BTreeSet<String>, Edges)> {
    let mut lines = page.lines().skip_while(|line| cells(line).as_deref() != Some(&HEADER));
    lines.next().context("no table with the header `| crate | depends on |`")?;
    let (mut rows, mut edges) = (BTreeSet::new(), Edges::new());
    for line in lines.skip(1) {
        let Some(cells) = cells(line) else { break };
        let [name, on] = cells[..] else { bail!("not two cells: {line}") };
        rows.insert(name.to_owned());
        let on = on.split(',').map(unquoted).filter(|on| *on != "-");
        edges.extend(on.map(|on| (name.to_owned(), on.to_owned())));
    }
    Ok((rows, edges))
}

/// The cells of a line of a markdown table.
fn cells(line: &str) -> Option<Vec<&str>> {
    let inside = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    Some(inside.split('|').map(unquoted).collect())
}

fn unquoted(cell: &str) -> &str {
    cell.trim().trim_matches('`')
}
