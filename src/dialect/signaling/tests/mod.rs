//! Shards of several workers with a store of their own: what clients are told, and when.

mod flows;
mod scene;
