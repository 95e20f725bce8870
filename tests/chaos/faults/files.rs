//! Results and outputs that cannot be written.

use crate::{
    fault::{Fault, Permits, Scene, Setup, Struck, When},
    plan::Plan,
    stage::Stage,
};
use rand::{RngExt, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;
use std::{fmt, fs};

enum File {
    FullDisk(u64),
    Vanished,
    StdoutFull,
    StderrClosed,
}

/// Results that find no room.
pub fn no_room(rng: &mut ChaCha8Rng) -> Box<dyn Fault> {
    let size = *[4096, 16384, 32768, 65536].choose(rng).expect("a choice");
    Box::new(if rng.random_bool(0.5) { File::FullDisk(size) } else { File::Vanished })
}

/// Outputs that nobody reads.
pub fn no_reader(rng: &mut ChaCha8Rng) -> Box<dyn Fault> {
    Box::new(if rng.random_bool(0.5) { File::StdoutFull } else { File::StderrClosed })
}

impl fmt::Display for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FullDisk(bytes) => write!(f, "room for {bytes} B of results"),
            Self::Vanished => f.write_str("the directory of results vanishes"),
            Self::StdoutFull => f.write_str("stdout is /dev/full"),
            Self::StderrClosed => f.write_str("stderr is closed"),
        }
    }
}

impl Fault for File {
    fn kind(&self) -> &'static str {
        match self {
            Self::FullDisk(_) => "disk full",
            Self::Vanished => "results vanish",
            Self::StdoutFull => "stdout full",
            Self::StderrClosed => "stderr closed",
        }
    }

    fn fit(&self, _: &mut Plan) {}

    fn permits(&self, plan: &Plan, _: When) -> Permits {
        match self {
            Self::FullDisk(_) | Self::Vanished => Permits { unwritten: true, ..Permits::passes_or(&[1, 3, 7]) },
            // Under a launcher, stdout is the launcher's.
            Self::StdoutFull => {
                Permits { silent: true, killed: plan.launched, passes: plan.launched, ..Permits::ends_with(&[1, 7]) }
            }
            Self::StderrClosed => Permits { silent: true, ..Permits::passes_or(&[]) },
        }
    }

    fn strikes_before(&self) -> bool {
        !matches!(self, Self::Vanished)
    }

    fn prepare(&self, setup: &mut Setup, _: &Stage) -> Result<(), String> {
        match self {
            Self::FullDisk(bytes) => setup.disk_bytes = Some(*bytes),
            Self::Vanished => {}
            Self::StdoutFull => setup.stdout = Some("/dev/full"),
            Self::StderrClosed => setup.shell = Some("exec 2>&-".to_owned()),
        }
        Ok(())
    }

    fn strike(&self, _: &Plan, scene: &Scene) -> Result<Struck, String> {
        fs::remove_dir_all(scene.running.place().join("results"))
            .map_err(|error| format!("no results yet: {error}"))?;
        Ok(Struck::once(self.to_string()))
    }
}
