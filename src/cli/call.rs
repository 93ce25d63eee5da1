//! `hydrogen call`: one command, one answer.

use std::time::Duration;

use super::client::{Client, ConnectArgs, Target};
use super::exit::Stop;
use super::{json, output};
use crate::engine::wire::{is_action, is_channel};

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The command, as CHANNEL.ACTION
    #[arg(value_name = "CHANNEL.ACTION")]
    command: String,
    /// The command's data, one JSON value
    #[arg(value_name = "DATA", default_value = "{}", hide_default_value = true, allow_hyphen_values = true)]
    data: String,
    /// Seconds to wait for the answer
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,
    #[command(flatten)]
    connect: ConnectArgs,
}

const EXAMPLES: &str = "\
Examples:
  hydrogen call system.info
  hydrogen call system.ping '{\"n\":1}'
  hydrogen call system.presence '{\"topic\":\"sensors.kitchen\"}' --url wss://example.org/
  hydrogen call system.block '{\"address\":\"203.0.113.7\"}' --key-file admin.key

Prints the answer's data. An error of the server is printed as JSON to standard error, with exit 1.";

/// What is checked before anything is done.
struct Plan {
    channel: String,
    action: String,
    data: String,
    timeout: Duration,
    target: Target,
}

pub fn run(args: Args) -> Result<(), Stop> {
    let plan = build(args)?;
    let mut client = Client::connect(&plan.target)?;
    let answer = client.call(&plan.channel, &plan.action, &plan.data, plan.timeout);
    client.close();
    let data = answer?.map_err(Stop::answered)?;
    output::print(json::on_one_line(&data))
}

fn build(args: Args) -> Result<Plan, Stop> {
    let wrong = || Stop::usage(format_args!("{:?} is no command; they look like system.info", args.command));
    let (channel, action) = args.command.split_once('.').ok_or_else(wrong)?;
    if !is_channel(channel) || !is_action(action) {
        return Err(wrong());
    }
    let data = json::value(&args.data).map_err(|error| Stop::usage(format_args!("DATA is no JSON: {error}")))?;
    Ok(Plan {
        channel: channel.into(),
        action: action.into(),
        data: data.into(),
        timeout: Duration::from_secs(args.timeout),
        target: args.connect.build_here()?,
    })
}
