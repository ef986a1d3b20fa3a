//! Processes that are measured: their processor time, and their memory.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::Result;

/// A process, which is killed when it is dropped.
pub struct Process(Child);

impl Process {
    pub fn start(command: &mut Command) -> Result<Self> {
        Ok(Self(command.kill_on_drop(true).spawn()?))
    }

    /// Asks the process to end, and waits until it has. Its children may outlive one that is killed.
    pub fn stop(&mut self) {
        let id = self.0.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        if id.is_some_and(|id| kill_process(id, Signal::TERM).is_ok()) {
            while let Ok(None) = self.0.try_wait() {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }

    /// Starts this program with other arguments, and reads the address that it prints.
    pub async fn start_self(arguments: &[&str]) -> Result<(Self, SocketAddr)> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut process = Self::start(command.args(arguments).stdout(Stdio::piped()))?;
        let out = process.0.stdout.take().ok_or("no output")?;
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line).await?;
        Ok((process, line.trim().parse()?))
    }

    /// This process and its children.
    fn ids(&self) -> Result<Vec<u32>> {
        let own = self.0.id().ok_or("the process has ended")?;
        let mut ids = vec![own];
        for entry in fs::read_dir("/proc")? {
            let name = entry?.file_name();
            let Some(id) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
            // It may have ended since.
            if fields(id).is_ok_and(|fields| fields[1] == own.to_string()) {
                ids.push(id);
            }
        }
        Ok(ids)
    }

    /// The processor time of the process and its children.
    pub fn processor_time(&self) -> Result<Duration> {
        let mut ticks = 0;
        for id in self.ids()? {
            let fields = fields(id)?;
            ticks += fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
        }
        // A tick is 10 ms on all of Linux.
        Ok(Duration::from_millis(10 * ticks))
    }

    /// The memory of the process and its children that no other process has, in bytes.
    pub fn memory(&self) -> Result<u64> {
        let mut bytes = 0;
        for id in self.ids()? {
            let rollup = fs::read_to_string(format!("/proc/{id}/smaps_rollup"))?;
            for line in rollup.lines().filter(|line| line.starts_with("Private_")) {
                let kib = line.split_whitespace().nth(1).ok_or("no number")?;
                bytes += kib.parse::<u64>()? << 10;
            }
        }
        Ok(bytes)
    }
}

/// The fields of `/proc/ID/stat` behind the name of the program, which may have spaces.
fn fields(id: u32) -> io::Result<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
    let behind = stat.rsplit_once(") ").map_or("", |(_, behind)| behind);
    Ok(behind.split_whitespace().map(str::to_owned).collect())
}
