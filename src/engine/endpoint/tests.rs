//! What the endpoint does, seen from outside: its public methods, real bytes, a clock of its own.

mod cast;
mod closing;
mod credentials;
mod deflate;
mod draining;
mod flow;
mod handshake;
mod liveness;
mod lost;
mod overflow;
mod peer;
mod plain;
mod random;
mod scene;
mod signaling;
mod sizes;
mod steps;
