//! Processes that are measured: their processor time, and their memory.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::str::FromStr;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::Result;

/// A process, which ends when it is dropped.
pub struct Process {
    child: Child,
    /// Removed when the process has ended.
    folder: Option<PathBuf>,
}

impl Process {
    /// Starts a process that keeps its files in a folder, if it has any.
    pub fn start(command: &mut Command, folder: Option<PathBuf>) -> Result<Self> {
        Ok(Self { child: command.kill_on_drop(true).spawn()?, folder })
    }

    /// Starts this program with other arguments, and reads what it prints first, such as its address.
    pub async fn start_self<T>(arguments: &[&str]) -> Result<(Self, T)>
    where
        T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
    {
        let mut command = Command::new(std::env::current_exe()?);
        let mut process = Self::start(command.args(arguments).stdout(Stdio::piped()), None)?;
        let out = process.child.stdout.take().ok_or("no output")?;
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line).await?;
        if line.is_empty() {
            return Err(format!("`{}` has failed", arguments.join(" ")).into());
        }
        Ok((process, line.trim().parse()?))
    }

    /// This process and its children.
    fn ids(&self) -> Result<Vec<Pid>> {
        let own = self.child.id().ok_or("the process has ended")?.to_string();
        let mut ids = vec![own.parse()?];
        for entry in fs::read_dir("/proc")? {
            let name = entry?.file_name();
            let Some(id) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
            // It may have ended since.
            if parent(id).is_ok_and(|parent| parent == own) {
                ids.push(id);
            }
        }
        Ok(ids.into_iter().map(Pid::from_raw).collect())
    }

    /// The processor time of the process and its children, user and system.
    pub fn processor_time(&self) -> Result<Duration> {
        let clocks = self.ids()?.into_iter().map(clock_getcpuclockid);
        let times = clocks.map(|clock| Ok::<_, nix::Error>(Duration::from(clock_gettime(clock?)?)));
        Ok(times.sum::<Result<_, _>>()?)
    }

    /// The memory of the process and its children that no other process has, in bytes.
    pub fn memory(&self) -> Result<u64> {
        self.ids()?.into_iter().map(memory).sum()
    }
}

impl Drop for Process {
    /// Asks the process to end, and waits until it has. Its children may outlive one that is killed.
    fn drop(&mut self) {
        let id = self.child.id().map(|id| Pid::from_raw(id.cast_signed()));
        if id.is_some_and(|id| kill(id, Signal::SIGTERM).is_ok()) {
            while let Ok(None) = self.child.try_wait() {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        if let Some(folder) = &self.folder {
            let _ = fs::remove_dir_all(folder);
        }
    }
}

/// The processor time of this process, user and system.
pub fn own_processor_time() -> Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?.into())
}

/// The memory of this process that no other process has, in bytes.
pub fn own_memory() -> Result<u64> {
    memory(Pid::this())
}

fn memory(id: Pid) -> Result<u64> {
    let rollup = fs::read_to_string(format!("/proc/{id}/smaps_rollup"))?;
    let mut bytes = 0;
    for line in rollup.lines().filter(|line| line.starts_with("Private_")) {
        let kib = line.split_whitespace().nth(1).ok_or("no number")?;
        bytes += kib.parse::<u64>()? << 10;
    }
    Ok(bytes)
}

/// The id of a process's parent.
fn parent(id: i32) -> io::Result<String> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
    // Behind the name of the program, which may have spaces, and the state.
    let behind = stat.rsplit_once(") ").map_or("", |(_, behind)| behind);
    Ok(behind.split_whitespace().nth(1).unwrap_or_default().to_owned())
}
