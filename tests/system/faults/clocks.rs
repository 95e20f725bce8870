//! A clock that jumps in mid-run: what was measured with it is withheld.

use crate::support::{Launch, place, program, service, slow, workspace};
use std::{fs, path::Path, process::Command, time::Duration};

const STREAMS: Duration = Duration::from_secs(60);
const ENDS: Duration = Duration::from_secs(120);

/// The kernel shifts no clock of a process that runs already, and libfaketime takes the raw clock for that of the wall from the
/// begin on: so the clock of one rank is read through this, and is an hour ahead from the moment at which there is a file.
const JUMPING: &str = "
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = syscall(SYS_clock_gettime, clock, now);
    if (clock == CLOCK_MONOTONIC_RAW && access(getenv(\"CLOCK_JUMPED\"), F_OK) == 0)
        now->tv_sec += 3600;
    return failed;
}
";

fn library(dir: &Path) -> String {
    let (source, library) = (dir.join("jumping.c"), dir.join("jumping.so"));
    fs::write(&source, JUMPING).unwrap();
    let compiled = Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &source]).output().unwrap();
    assert!(compiled.status.success(), "{compiled:?}");
    library.display().to_string()
}

#[test]
fn what_was_measured_with_a_clock_that_jumped_is_withheld_and_what_was_counted_is_not() {
    if !slow() {
        return;
    }
    let place = place();
    let (library, jumped) = (library(place.path()), place.path().join("jumped"));
    // A consumer's clock: it would count no delivery after the jump into the window.
    let script = "[ $OMPI_COMM_WORLD_RANK != 1 ] || export LD_PRELOAD=\"$JUMPING\"; exec \"$0\" \"$@\"";
    let before =
        ["-n", "3", "sh", "-c", script].map(Into::into).into_iter().chain([program().into()]).collect::<Vec<_>>();
    let load = ["--arch", "dts-plain", "--duration", "8s", "--rate", "200/s"];
    let launch = Launch::new(&workspace().join("launch/mpirun"), &before, &load).through(service());
    let running = launch.variable("JUMPING", library).variable("CLOCK_JUMPED", &jumped).streaming(STREAMS);
    fs::write(jumped, "").unwrap();
    let outcome = running.wait(ENDS);
    let record = outcome.passes();
    let told = record.warnings.iter().filter(|warning| warning.contains("the clock of a rank was off by 3")).count();
    assert_eq!(told, 1, "{:?} {outcome}", record.warnings);
    let throughput = &record.throughput;
    let rates =
        [throughput.messages_per_second, throughput.bits_per_second, throughput.sum_of_rates_messages_per_second];
    assert_eq!((rates, record.completion.total_s), ([None; 3], None), "{throughput:?}");
    assert!(record.latency.is_empty(), "{:?}", record.latency.keys());
    assert!(record.integrity.delivered > 1000, "{:?}", record.integrity);
}
