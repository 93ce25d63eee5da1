//! Shards of several workers with a store of their own: what clients are told, and when.

mod errors;
mod faults;
mod flows;
mod grace;
mod histories;
mod limits;
mod model;
mod networks;
mod person;
mod proofs;
mod scene;
