//! kubectl in a terminal of its own, which the test types into and whose window it changes.
//!
//! In: a command. Out: a [`Terminal`]. Invariant: nothing waits for longer than [`SOON`].

use std::fs::File;
use std::io::{Read, Write};
use std::process::Command;

use anyhow::{Context, Result};

use rustix::pty::{OpenptFlags, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use tokio::process::Child;
use tokio::sync::mpsc;

use crate::SOON;

/// A pseudo-terminal and the program in it.
pub struct Terminal {
    keyboard: File,
    screen: mpsc::UnboundedReceiver<Vec<u8>>,
    shown: String,
    /// Ended when this is dropped.
    pub program: Child,
}

impl Terminal {
    /// Starts `program` with this window. `setsid` makes the terminal its controlling one: the kernel tells of a new size only then.
    pub fn run(program: &Command, rows: u16, columns: u16) -> Result<Self> {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
        unlockpt(&keyboard)?;
        resize(&keyboard, rows, columns)?;
        let name = ptsname(&keyboard, vec![])?.into_string()?;
        let line = File::options().read(true).write(true).open(name)?;
        let mut command = tokio::process::Command::new("setsid");
        command.args(["--ctty", "--wait"]).arg(program.get_program()).args(program.get_args()).kill_on_drop(true);
        command.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.stdin(line.try_clone()?).stdout(line.try_clone()?).stderr(line);
        let program = command.spawn().context("setsid")?;
        let keyboard = File::from(keyboard);
        let (mut read, (sender, screen)) = (keyboard.try_clone()?, mpsc::unbounded_channel());
        // Ends with the program: reading fails when nobody holds the other side any more.
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = read.read(&mut bytes) {
                if sender.send(bytes.iter().take(count).copied().collect()).is_err() {
                    return;
                }
            }
        });
        Ok(Self { keyboard, screen, shown: String::new(), program })
    }

    /// Another window.
    pub fn resize(&self, rows: u16, columns: u16) -> Result<()> {
        resize(&self.keyboard, rows, columns)
    }

    /// What somebody types.
    pub fn type_in(&mut self, text: &str) -> Result<()> {
        Ok(self.keyboard.write_all(text.as_bytes())?)
    }

    /// What is shown until this has been, from where the last one ended.
    pub async fn until(&mut self, wanted: &str) -> Result<String> {
        let found = async {
            loop {
                if let Some(at) = self.shown.find(wanted) {
                    let rest = self.shown.split_off(at + wanted.len());
                    return Some(std::mem::replace(&mut self.shown, rest));
                }
                self.shown.push_str(&String::from_utf8_lossy(&self.screen.recv().await?));
            }
        };
        let found = tokio::time::timeout(SOON, found).await;
        found.ok().flatten().with_context(|| format!("{wanted:?} was not shown, but {:?}", self.shown))
    }
}

fn resize(terminal: impl std::os::fd::AsFd, rows: u16, columns: u16) -> Result<()> {
    Ok(tcsetwinsize(terminal, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 })?)
}
