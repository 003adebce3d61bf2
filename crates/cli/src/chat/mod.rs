//! The terminal chat: what somebody at a prompt sees and types.
//!
//! - [`link`]: the connection to the server, which comes back after the server was away.
//! - [`words`]: what a typed line means here: said in the channel, in the thread of a question, in private.
//! - [`question`]: a question as it stands on the screen: its countdown, and what it becomes when it is finished.
//! - [`layout`]: texts as rows of a width.
//! - [`screen`]: what stands above the prompt, and how it changes without disturbing the line being typed.
//! - [`session`]: one person at a prompt, all of the above together.
//!
//! Knows nothing of how confirmations are decided: it shows what the server sends and sends what is typed.

pub mod layout;
pub mod link;
pub mod question;
pub mod screen;
pub mod session;
pub mod words;
