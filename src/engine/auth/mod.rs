//! Who a credential belongs to, and what that identity may do.
//!
//! Owns the forms of tokens, permissions, signatures and the keys file, and the decisions on
//! them: the key ring, the replay window, the throttle of failed credentials, the block list.
//! It refuses to read files, clocks or random sources: texts, times and random bytes come in.

pub mod access;
pub mod blocks;
pub mod call;
pub mod file;
pub mod identity;
pub mod keyring;
pub mod permission;
mod prefix;
pub mod replay;
pub mod shared_key;
pub mod signature;
pub mod throttle;
pub mod token;

pub use access::Access;
pub use blocks::{Block, BlockList, Network, Target};
pub use call::CallPattern;
pub use identity::{Identity, Source};
pub use keyring::{Current, KeyRecord, KeyRing, Refused};
pub use permission::{Permission, PermissionError, Permissions};
pub use prefix::Prefix;
pub use replay::ReplayWindow;
pub use shared_key::SharedKey;
pub use signature::{Signed, Signing};
pub use throttle::{Throttle, ThrottlePolicy};
pub use token::{KeyId, SecretHash, Token};
