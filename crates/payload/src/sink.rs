//! Arrived messages, written to be looked at by a thread of its own: a file for each, or one HDF5 file for the rank.

use engine::ports::PayloadError;
use hdf5_image::Collection;
use profile::{Plan, SinkForm};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{Builder, JoinHandle},
};

/// Bodies that wait to be written; then consumers wait.
const WAITING_MAX: usize = 16;

/// Writes what arrives on a rank. Everything is on disk once it is dropped.
#[derive(Debug)]
pub struct Sink {
    sender: Option<SyncSender<Arrived>>,
    thread: Mutex<Option<JoinHandle<Result<(), String>>>>,
}

struct Arrived {
    consumer: u32,
    /// Producer and sequence.
    message: (u32, u64),
    body: Vec<u8>,
    /// libhdf5 reads nothing else.
    sound: bool,
}

/// What messages are written to.
enum Into {
    Files { dir: PathBuf, extension: String },
    Hdf5 { file: Collection, is_hdf5: bool },
}

impl Sink {
    /// The sink of a rank, if its plan has one. Each run has a directory of its own.
    pub fn open(plan: &Plan, rank: usize) -> Result<Option<Self>, PayloadError> {
        let Some(sink) = &plan.sink else { return Ok(None) };
        let run = Path::new(&sink.dir).join(format!("run-{:08x}", plan.run));
        let failed = |path: &Path, error: &dyn std::fmt::Display| {
            PayloadError(format!(
                "arrived messages cannot be written to `{}`: {error}; give another directory with --sink",
                path.display()
            ))
        };
        let extension = plan.message.extension().to_owned();
        let into = match sink.form {
            SinkForm::Files => {
                let dir = run.join(format!("rank-{rank}"));
                fs::create_dir_all(&dir).map_err(|error| failed(&dir, &error))?;
                Into::Files { dir, extension }
            }
            SinkForm::Hdf5 => {
                fs::create_dir_all(&run).map_err(|error| failed(&run, &error))?;
                let path = run.join(format!("rank-{rank}.h5"));
                let file = Collection::create(&path).map_err(|error| failed(&path, &error))?;
                Into::Hdf5 { file, is_hdf5: extension == "h5" }
            }
        };
        let (sender, arrived) = sync_channel(WAITING_MAX);
        let thread = Builder::new().name("sink".to_owned()).spawn(move || into.write_all(arrived));
        let thread =
            thread.map_err(|error| PayloadError(format!("no thread to write arrived messages with: {error}")))?;
        Ok(Some(Self { sender: Some(sender), thread: Mutex::new(Some(thread)) }))
    }

    /// Takes a copy of a body, once there is room for it.
    pub fn keep(&self, consumer: u32, message: (u32, u64), body: &[u8], sound: bool) -> Result<(), PayloadError> {
        let arrived = Arrived { consumer, message, body: body.to_vec(), sound };
        let sent = self.sender.as_ref().map(|sender| sender.send(arrived));
        if matches!(sent, Some(Ok(()))) {
            return Ok(());
        }
        // The thread has ended, and only an error ends it before its sink.
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let why = match thread.map(JoinHandle::join) {
            Some(Ok(Err(why))) => why,
            _ => "its thread has ended".to_owned(),
        };
        Err(PayloadError(format!("arrived messages cannot be written: {why}; give another directory with --sink")))
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.sender = None;
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The run is over: what could not be written at its very end is missing, as the directory shows.
        let _ = thread.map(JoinHandle::join);
    }
}

impl Into {
    fn write_all(self, arrived: Receiver<Arrived>) -> Result<(), String> {
        arrived.into_iter().try_for_each(|arrived| self.write(&arrived))
    }

    fn write(&self, arrived: &Arrived) -> Result<(), String> {
        let Arrived { consumer, message: (producer, sequence), body, sound } = arrived;
        match self {
            Self::Files { dir, extension } => {
                let path = dir.join(format!("consumer-{consumer}-producer-{producer}-{sequence:08}.{extension}"));
                fs::write(&path, body).map_err(|error| format!("`{}`: {error}", path.display()))
            }
            Self::Hdf5 { file, is_hdf5 } => {
                let path = format!("consumer-{consumer}/producer-{producer}/{sequence:08}");
                let added = if *is_hdf5 && *sound { file.add_file(&path, body) } else { file.add_bytes(&path, body) };
                added.map_err(|error| format!("`{path}` of the HDF5 file: {error}"))
            }
        }
    }
}
