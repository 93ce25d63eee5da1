mod disk;
mod log;
mod shim;
#[cfg(test)]
mod tests;
