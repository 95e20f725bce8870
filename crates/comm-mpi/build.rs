//! Notices that another MPI is meant than the one that `mpi-sys` was built for, which does not look again by itself: the
//! program would stay linked to the old one.

use std::{env, error::Error, fs, path::Path, process::Command};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-env-changed=MPICC");
    let compiler = env::var("MPICC").unwrap_or_else(|_| "mpicc".to_owned());
    // Without MPI's compiler wrapper, mpi-sys runs pkg-config, and reports the missing package.
    let Ok(shown) = Command::new(&compiler).arg("-show").output() else { return Ok(()) };
    let place = Path::new(&env::var("OUT_DIR")?).join("mpi");
    match fs::read(&place) {
        Ok(before) if before != shown.stdout => Err(format!(
            "`{compiler}` is another MPI than this directory was built for: type \
             `cargo clean -p mpi-sys -p mpi -p comm-mpi` and build again, or give each MPI a CARGO_TARGET_DIR of its own"
        )
        .into()),
        Ok(_) => Ok(()),
        Err(_) => Ok(fs::write(place, shown.stdout)?),
    }
}
