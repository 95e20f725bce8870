//! Where this process may create groups that limit CPU, from the kernel's list of mounts. Pure.

use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The two versions of control groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Version {
    /// A hierarchy of the `cpu` controller.
    V1,
    /// The one hierarchy of all controllers.
    V2,
}

/// The directories to try in turn, each as the parent of a group. `mounts` is `/proc/self/mountinfo`, `own` is
/// `/proc/self/cgroup`.
pub fn places(mounts: &str, own: &str) -> Option<(Version, Vec<PathBuf>)> {
    let mounts: Vec<Mount> = mounts.lines().filter_map(Mount::parse).collect();
    let v1 = mounts.iter().find(|mount| mount.kind == "cgroup" && mount.options.split(',').any(|word| word == "cpu"));
    // A controller is in one hierarchy only.
    if let Some(mount) = v1 {
        let path = own_path(own, |controllers| controllers.split(',').any(|word| word == "cpu"))?;
        return Some((Version::V1, vec![mount.directory(path)]));
    }
    let mount = mounts.iter().find(|mount| mount.kind == "cgroup2")?;
    let own = mount.directory(own_path(own, str::is_empty)?);
    // A group with processes cannot enable controllers for its children, and our own group has us in it: usually an
    // ancestor works.
    let above = own.ancestors().take_while(|place| place.starts_with(mount.point)).map(Path::to_owned).collect();
    Some((Version::V2, above))
}

/// The path of our group among those of `/proc/self/cgroup`: lines of `number:controllers:path`.
fn own_path(text: &str, wanted: impl Fn(&str) -> bool) -> Option<&str> {
    text.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        wanted(controllers).then_some(path)
    })
}

struct Mount<'a> {
    /// The visible part of the hierarchy: in a container, often not all of it.
    root: &'a str,
    point: &'a str,
    kind: &'a str,
    options: &'a str,
}

impl<'a> Mount<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (before, after) = line.split_once(" - ")?;
        let (before, after): (Vec<&str>, Vec<&str>) = (before.split(' ').collect(), after.split(' ').collect());
        Some(Self { root: before.get(3)?, point: before.get(4)?, kind: after.first()?, options: after.get(2)? })
    }

    /// The directory of a path of the hierarchy, or of its nearest visible ancestor.
    fn directory(&self, path: &str) -> PathBuf {
        let below = Path::new(path).strip_prefix(self.root).unwrap_or(Path::new(""));
        if below.as_os_str().is_empty() { self.point.into() } else { Path::new(self.point).join(below) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(mounts: &str, own: &str, expected: Option<(Version, &[&str])>) {
        let expected = expected.map(|(version, all)| (version, all.iter().map(PathBuf::from).collect()));
        assert_eq!(places(mounts, own), expected);
    }

    #[test]
    fn the_hierarchy_that_has_the_cpu_controller_is_found() {
        let hybrid = "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
                      33 31 0:30 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n\
                      41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        check(hybrid, "3:cpuset:/\n2:cpu,cpuacct:/\n0::/\n", Some((Version::V1, &["/sys/fs/cgroup/cpu,cpuacct"])));
        let job = "2:cpu,cpuacct:/slurm/job_7\n0::/\n";
        check(hybrid, job, Some((Version::V1, &["/sys/fs/cgroup/cpu,cpuacct/slurm/job_7"])));
        let unified = "30 25 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
        check(
            unified,
            "0::/user.slice/app.scope\n",
            Some((
                Version::V2,
                &["/sys/fs/cgroup/user.slice/app.scope", "/sys/fs/cgroup/user.slice", "/sys/fs/cgroup"],
            )),
        );
    }

    #[test]
    fn in_a_container_only_what_is_mounted_counts() {
        let part = "30 25 0:26 /docker/abc /sys/fs/cgroup ro - cgroup cgroup rw,cpu\n";
        check(part, "4:cpu:/docker/abc/inner\n", Some((Version::V1, &["/sys/fs/cgroup/inner"])));
        check(part, "4:cpu:/elsewhere\n", Some((Version::V1, &["/sys/fs/cgroup"])));
        check("30 25 0:26 / /proc rw - proc proc rw\n", "0::/\n", None);
        check("", "", None);
    }
}
