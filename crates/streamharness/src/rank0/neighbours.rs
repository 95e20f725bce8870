//! Other tenants of the service, as launches of this program beside the measured run.

use crate::{
    cli::flags,
    files::whole,
    terminal::exit::{Exit, Failure},
};
use figures::input;
use measure::{Record, record::Neighbour};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use profile::{Plan, Profile};
use std::{
    env,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Their directory in that of the run.
const DIR: &str = "neighbours";
/// What a tenant reports, such as why it cannot stream.
const LOG: &str = "stderr.log";
/// How long they may take until all of them stream.
const START_LIMIT: Duration = Duration::from_secs(120);
/// How long they may take to end in order, and to give back what they were given.
const END_LIMIT: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Variables by which a launcher makes a process one of its ranks.
const LAUNCHERS: [&str; 7] = ["OMPI_", "PMIX_", "PMI_", "PRTE_", "SLURM_", "HYDRA_", "MPI_"];
/// The run that they belong to, by the number of its process.
pub const OF_VARIABLE: &str = "STREAMHARNESS_NEIGHBOUR_OF";

/// Tenants that stream. Dropping them ends them.
pub struct Neighbours(Vec<Tenant>);

struct Tenant {
    process: Child,
    dir: PathBuf,
}

impl Neighbours {
    /// Starts them, and waits until each of them streams. `testbed` is the launch's own, which they share.
    pub fn start(profile: &Profile, plan: &Plan, dir: &Path, testbed: Option<&Path>) -> Result<Self, Failure> {
        let mut all = Self(Vec::new());
        let Some(neighbours) = &plan.neighbours else { return Ok(all) };
        // They end with the run, and by themselves if nobody ends them.
        let longest = plan.limits.stream + plan.limits.route + START_LIMIT;
        for number in 1..=neighbours.tenants {
            let tenant = neighbours.profile(profile, number, longest, |path| input::profile(path));
            let tenant = serde_json::to_string(&tenant.map_err(flags::failure)?).expect("a profile is plain data");
            let started = Tenant::start(&tenant, dir, &dir.join(DIR).join(number.to_string()), testbed);
            all.0.push(started.map_err(|error| {
                let why = shortage::explain(&error);
                Failure::new(Exit::Route, format!("neighbour {number} cannot be started: {why}"))
            })?);
        }
        let end = Instant::now() + START_LIMIT;
        for (index, tenant) in all.0.iter_mut().enumerate() {
            tenant.await_stream(end).map_err(|why| {
                let sentence = format!(
                    "neighbour {} does not stream: {why}; lower neighbours.tenants or neighbours.rate",
                    index + 1
                );
                Failure::new(Exit::Route, sentence)
            })?;
        }
        Ok(all)
    }

    /// Asks them to end.
    pub fn stop(&self) {
        for tenant in &self.0 {
            // Not reaped yet, so the number is still its own.
            let _ = kill(Pid::from_raw(tenant.process.id() as i32), Signal::SIGTERM);
        }
    }

    /// Ends them: what each achieved.
    pub fn end(mut self) -> Vec<Neighbour> {
        self.await_end();
        self.0.iter().filter_map(|tenant| tenant.record().map(|record| Neighbour::of(&record))).collect()
    }

    fn await_end(&mut self) {
        self.stop();
        let end = Instant::now() + END_LIMIT;
        for tenant in &mut self.0 {
            while matches!(tenant.process.try_wait(), Ok(None)) && Instant::now() < end {
                std::thread::sleep(LOOK_EVERY);
            }
            let _ = tenant.process.kill();
            let _ = tenant.process.wait();
        }
    }
}

impl Drop for Neighbours {
    fn drop(&mut self) {
        self.await_end();
    }
}

impl Tenant {
    fn start(profile: &str, top: &Path, dir: &Path, testbed: Option<&Path>) -> io::Result<Self> {
        whole::make_dir(top, dir)?;
        let mut command = Command::new(env::current_exe()?);
        command.arg("neighbour").arg(dir).stdin(Stdio::piped()).stdout(Stdio::null());
        command.stderr(File::create(dir.join(LOG))?);
        for (name, _) in env::vars_os() {
            if LAUNCHERS.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
                command.env_remove(name);
            }
        }
        command.env(OF_VARIABLE, std::process::id().to_string());
        if let Some(testbed) = testbed {
            command.env("STREAMHARNESS_TESTBED", testbed);
        }
        let mut process = command.spawn()?;
        // In memory: addresses in a profile may contain passwords.
        if let Some(mut stdin) = process.stdin.take() {
            stdin.write_all(profile.as_bytes())?;
        }
        Ok(Self { process, dir: dir.to_owned() })
    }

    fn record(&self) -> Option<Record> {
        Record::from_json(&input::result(self.dir.join("record.json")).ok()?).ok()
    }

    fn await_stream(&mut self, end: Instant) -> Result<(), String> {
        let streams = |record: Record| record.totals.received.messages > 0;
        while !self.record().is_some_and(streams) {
            if !matches!(self.process.try_wait(), Ok(None)) {
                let log = fs::read_to_string(self.dir.join(LOG)).unwrap_or_default();
                let last = log.lines().last().unwrap_or("it ended without a word");
                return Err(last.trim_start_matches("streamharness: ").to_owned());
            }
            if Instant::now() > end {
                return Err(format!("nothing was delivered to it within {} s", START_LIMIT.as_secs()));
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }
}
