//! `keyhole sim`
#[derive(Debug, clap::Args)]
pub struct Arguments {}
pub fn main(_: &Arguments) -> anyhow::Result<()> { Ok(()) }
