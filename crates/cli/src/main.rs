//! The command line of Tidestore.
fn main() {}
