//! One of the action's two streams: drained always, kept within bounds, its first part passed on live.

use super::capture::{Capture, KEEP};
use super::outbox::{Outbox, set_nonblocking};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;

/// One of the two streams of the action.
pub(super) struct Tap {
    /// Absent after end-of-file.
    pub(super) pipe: Option<File>,
    pub(super) capture: Capture,
    tag: u8,
    cut: bool,
}

impl Tap {
    pub(super) fn new(pipe: Option<impl Into<OwnedFd>>, tag: u8) -> io::Result<Tap> {
        let pipe = pipe.map(|pipe| File::from(pipe.into()));
        if let Some(pipe) = &pipe {
            set_nonblocking(pipe, true)?;
        }
        Ok(Tap { pipe, capture: Capture::new(KEEP), tag, cut: false })
    }

    /// Reads what is there, up to a megabyte, and passes the first part of the stream on live.
    pub(super) fn drain(&mut self, buffer: &mut [u8], outbox: &mut Outbox) {
        for _ in 0..16 {
            let Some(pipe) = &mut self.pipe else { return };
            match pipe.read(buffer) {
                Ok(0) => self.pipe = None,
                Ok(n) => self.take(&buffer[..n], outbox),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => self.pipe = None,
            }
        }
    }

    fn take(&mut self, bytes: &[u8], outbox: &mut Outbox) {
        let live = self.capture.push(bytes);
        if live > 0 {
            outbox.push(self.tag, &bytes[..live]);
        }
        if live < bytes.len() && !std::mem::replace(&mut self.cut, true) {
            outbox.push(self.tag, b"\n[live output ends here; the last part follows with the result]\n");
        }
    }
}
