//! Frames on their way to the worker, and the last word: the result.

use super::seal;
use crate::job::{Ended, frame};
use rustix::fs::OFlags;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

/// An own handle on a standard stream, without the buffer that would swallow a stop byte.
pub(super) fn own(fd: BorrowedFd<'_>) -> io::Result<File> {
    Ok(fd.try_clone_to_owned()?.into())
}

/// Frames on their way to the worker. Bounded by what a [`Tap`](super::tap::Tap) streams, so a worker that does not read costs at
/// most some 10 MiB here and never holds the action up.
pub(super) struct Outbox {
    pub(super) pipe: File,
    waiting: Vec<u8>,
    sent: usize,
    broken: bool,
}

impl Outbox {
    pub(super) fn open() -> io::Result<Outbox> {
        let pipe = own(io::stdout().as_fd())?;
        set_nonblocking(&pipe, true)?;
        Ok(Outbox { pipe, waiting: Vec::new(), sent: 0, broken: false })
    }

    pub(super) fn push(&mut self, tag: u8, payload: &[u8]) {
        if self.broken {
            return;
        }
        self.waiting.push(tag);
        self.waiting.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes());
        self.waiting.extend_from_slice(payload);
        self.send();
    }

    /// Writes what the pipe takes without waiting.
    pub(super) fn send(&mut self) {
        while self.sent < self.waiting.len() {
            match self.pipe.write(&self.waiting[self.sent..]) {
                Ok(n) => self.sent += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The worker is gone; the control pipe says so too.
                Err(_) => {
                    self.broken = true;
                    break;
                }
            }
        }
        self.waiting.clear();
        self.sent = 0;
    }

    pub(super) fn is_waiting(&self) -> bool {
        !self.broken && self.sent < self.waiting.len()
    }

    /// Seals the result and sees the last frame out; waits for the worker to read, however long that takes.
    pub(super) fn report(mut self, spool: &Path, ended: &Ended) -> io::Result<()> {
        if let Err(error) = seal::seal(spool, ended) {
            eprintln!("cannot write the result to {}: {error}", spool.display());
            self.push(frame::RESULT, &serde_json::to_vec(ended)?);
        }
        set_nonblocking(&self.pipe, false)?;
        self.send();
        Ok(())
    }
}

pub(super) fn set_nonblocking(fd: &impl AsFd, yes: bool) -> io::Result<()> {
    let mut flags = rustix::fs::fcntl_getfl(fd)?;
    flags.set(OFlags::NONBLOCK, yes);
    Ok(rustix::fs::fcntl_setfl(fd, flags)?)
}
