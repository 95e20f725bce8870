//! The build of each rank, exchanged before anything else: ranks of different builds would not understand each other's messages.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    path::Path,
};

/// Marks an introduction; no other first message begins like this.
const MARK: &[u8; 8] = b"shranks\n";
/// Most bytes of the version, the build and the host. Never to be changed: any two builds have to read each other.
const VERSION: usize = 24;
const BUILD: usize = 64;
const HOST: usize = 64;
/// Where linkers put a program's build id is well within this.
const HEAD: u64 = 1 << 20;
/// The header of a build id in an ELF file: the lengths of its owner's name and of itself, its type, its owner.
const NOTE: [u8; 16] = [4, 0, 0, 0, 20, 0, 0, 0, 3, 0, 0, 0, b'G', b'N', b'U', 0];
const ID: usize = 20;
/// Characters of a build that are shown, and hosts of one build.
const SHOWN: usize = 12;
const HOSTS_SHOWN: usize = 4;

/// The first message of a rank: its version, its build and its host.
pub fn introduction(host: &str) -> Vec<u8> {
    let build = build_id(Path::new("/proc/self/exe")).ok().flatten();
    // A linker may leave the id out.
    let build = build.or_else(|| option_env!("STREAMHARNESS_COMMIT").map(str::to_owned)).unwrap_or_default();
    compose(env!("CARGO_PKG_VERSION"), &build, host)
}

fn compose(version: &str, build: &str, host: &str) -> Vec<u8> {
    let field = |text: &str, length: usize| {
        let mut bytes = text.as_bytes().to_vec();
        bytes.resize(length, 0);
        bytes
    };
    [MARK.to_vec(), field(version, VERSION), field(build, BUILD), field(host, HOST)].concat()
}

/// What to report if these introductions, one of each rank, are not all of one build.
pub fn difference(introductions: &[Vec<u8>]) -> Option<String> {
    let mut hosts: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for introduction in introductions {
        let [version, build, host] = read(introduction);
        let of_build = hosts.entry((version, build)).or_default();
        if !of_build.contains(&host) {
            of_build.push(host);
        }
    }
    let described = hosts.iter().map(|((version, build), hosts)| {
        let shown = hosts[..hosts.len().min(HOSTS_SHOWN)].join(", ");
        let more = hosts.len().checked_sub(HOSTS_SHOWN).filter(|more| *more > 0);
        let more = more.map(|more| format!(" and {more} more")).unwrap_or_default();
        let build: String = build.chars().take(SHOWN).collect();
        format!("{version} (build {build}) on {shown}{more}")
    });
    (hosts.len() > 1).then(|| {
        format!(
            "the ranks of this launch are of different builds of streamharness: {}; start one and the same program on all hosts",
            described.collect::<Vec<_>>().join(", ")
        )
    })
}

fn read(introduction: &[u8]) -> [String; 3] {
    let fields = introduction.strip_prefix(MARK).filter(|fields| fields.len() == VERSION + BUILD + HOST);
    let Some(fields) = fields else { return ["an older version", "unknown", "another host"].map(str::to_owned) };
    let (version, rest) = fields.split_at(VERSION);
    let (build, host) = rest.split_at(BUILD);
    [version, build, host].map(|field| String::from_utf8_lossy(field).trim_end_matches('\0').to_owned())
}

/// The id that the linker has given a program, in hexadecimal digits.
fn build_id(program: &Path) -> io::Result<Option<String>> {
    let mut head = Vec::new();
    File::open(program)?.take(HEAD).read_to_end(&mut head)?;
    let at = head.windows(NOTE.len()).position(|bytes| *bytes == NOTE);
    let id = at.and_then(|at| head.get(at + NOTE.len()..at + NOTE.len() + ID));
    Ok(id.map(|id| id.iter().map(|byte| format!("{byte:02x}")).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_of_one_build_do_not_differ() {
        let ranks = ["node1", "node1", "node2"].map(introduction);
        assert_eq!(difference(&ranks), None);
        assert_eq!(ranks[0].len(), 160, "every version reads this length");
        assert_eq!(read(&ranks[2])[2], "node2");
    }

    #[test]
    fn versions_and_builds_that_differ_are_reported_with_their_hosts() {
        let on = |version: &str, build: &str, host: &str| compose(version, build, host);
        let many = (1..7).map(|node| on("1.2.0", "0123456789abcdef", &format!("node{node}")));
        let ranks: Vec<_> = many.chain([on("1.1.0", "feed", "node9"), b"old".to_vec()]).collect();
        let sentence = difference(&ranks).unwrap();
        for part in [
            "1.2.0 (build 0123456789ab) on node1, node2, node3, node4 and 2 more",
            "1.1.0 (build feed) on node9",
            "an older version (build unknown) on another host",
        ] {
            assert!(sentence.contains(part), "{sentence}");
        }
        let rebuilt = difference(&[on("1.2.0", "a", "node1"), on("1.2.0", "b", "node1")]).unwrap();
        assert!(rebuilt.contains("1.2.0 (build a) on node1, 1.2.0 (build b) on node1; start one"), "{rebuilt}");
    }

    #[test]
    fn a_program_has_the_id_that_its_linker_gave_it() {
        let id = build_id(&std::env::current_exe().unwrap()).unwrap();
        assert!(id.is_none_or(|id| id.len() == 2 * ID));
        assert_eq!(build_id(Path::new("/proc/self/cmdline")).unwrap(), None);
    }
}
