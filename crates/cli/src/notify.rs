//! What a service manager is told (systemd's `Type=notify`): that the server takes work, and that it is stopping.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The server takes work.
pub const READY: &str = "READY=1";
/// It is stopping.
pub const STOPPING: &str = "STOPPING=1";

/// Tells it to whoever asked for it with `NOTIFY_SOCKET`. Not being heard is no reason not to go on.
pub fn tell(state: &str) {
    if let Some(socket) = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty())
        && let Err(error) = send(&socket, state)
    {
        tracing::warn!(%error, ?socket, "cannot tell the service manager");
    }
}

fn send(socket: &OsStr, state: &str) -> io::Result<()> {
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address(socket)?).map(drop)
}

/// A path, or with `@` in front a name that is no file.
fn address(socket: &OsStr) -> io::Result<SocketAddr> {
    #[cfg(target_os = "linux")]
    if let Some(name) = socket.as_bytes().strip_prefix(b"@") {
        use std::os::linux::net::SocketAddrExt;
        return SocketAddr::from_abstract_name(name);
    }
    SocketAddr::from_pathname(socket)
}
