//! HTTP/1.1 (RFC 9112) as far as a realtime server needs it: request heads, bodies, answers and
//! the WebSocket handshake of RFC 6455 section 4.2. Pure: bytes in, values out.
//!
//! The way of a request: [`find_end`] as bytes arrive, [`parse_head`] once, then either
//! [`check_upgrade`] or a [`BodyDecoder`], and an [`Answer`] at the end. Whatever is refused on the
//! way is a [`Refusal`], which is answered and ends the connection. Where RFC 9112 lets a server
//! choose between mending and refusing, this one refuses.

pub mod answer;
pub mod body;
pub mod credential;
pub mod extension;
pub mod framing;
pub mod head;
pub mod headers;
pub mod method;
pub mod refusal;
mod resume;
mod target;
pub mod upgrade;

pub use answer::{Answer, CONTINUE, write_switching};
pub use body::BodyDecoder;
pub use credential::{Presented, presented};
pub use extension::Extension;
pub use framing::BodyLength;
pub use head::{Head, HeadEnd, HeadLimits, find_end, parse_head};
pub use headers::Headers;
pub use method::{Method, Version};
pub use refusal::{Coding, Refusal};
pub use resume::{ResumeClaim, resume_claim};
pub use upgrade::{Upgrade, check_upgrade};
