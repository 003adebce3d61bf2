//! The few calls to the operating system that Rust cannot check, and nothing else.
//!
//! All of them are for a supervisor, which has one thread: that is the fact most of the reasons below rest on.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Closes every descriptor from 3 up, so that nothing a careless library left open in the server reaches an action.
///
/// Only to be called first thing in a fresh process, before anything has been opened.
pub(crate) fn close_inherited() {
    // SAFETY: nothing in this process owns a descriptor above 2 yet, so no owner is left with a closed number.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, 0u32) } == 0;
    if !closed {
        // Kernels before 5.9.
        for fd in 3..1024 {
            // SAFETY: as above; closing a number that is not open only fails.
            unsafe { libc::close(fd) };
        }
    }
}

/// Gives ignored signals their default meaning back (a server started by `nohup` ignores some, and `exec` keeps that).
/// SIGPIPE stays ignored here; the standard library resets it in every child.
pub(crate) fn default_signals() {
    for signal in 1..=64 {
        if signal == libc::SIGPIPE {
            continue;
        }
        // SAFETY: `sigaction` only reads and writes the local struct, for which all zeroes are a valid value; numbers
        // that are no signals make it fail. Setting `SIG_DFL` installs no code of ours.
        unsafe {
            let mut now: libc::sigaction = std::mem::zeroed();
            if libc::sigaction(signal, std::ptr::null(), &mut now) == 0 && now.sa_sigaction == libc::SIG_IGN {
                libc::signal(signal, libc::SIG_DFL);
            }
        }
    }
}

/// A descriptor that becomes readable when a child ends or somebody asks this process to stop; those signals no longer
/// interrupt. Reads give [`libc::signalfd_siginfo`] records, whose first four bytes are the signal's number.
pub(crate) fn signal_fd() -> io::Result<OwnedFd> {
    // SAFETY: the set is a local, initialised by `sigemptyset` before any other use; blocking signals of the only
    // thread touches no memory.
    let fd = unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        for signal in [libc::SIGCHLD, libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT] {
            libc::sigaddset(&mut set, signal);
        }
        if libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
        libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a fresh descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Lets `prepare` run in the child between `fork` and `exec`, and unblocks all signals there: the mask would be kept.
pub(crate) fn before_exec(command: &mut Command, mut prepare: impl FnMut() -> io::Result<()> + Send + Sync + 'static) {
    // SAFETY: called in a supervisor, which has one thread, so no lock (the allocator's included) can be held by a
    // thread that does not exist in the child; the copy of what `prepare` captured is its own.
    unsafe {
        command.pre_exec(move || {
            unblock_signals();
            prepare()
        });
    }
}

fn unblock_signals() {
    // SAFETY: the set is a local, initialised by `sigemptyset`; setting the mask of the only thread touches no memory.
    unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
    }
}
