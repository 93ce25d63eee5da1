//! `hydrogen rooms`: the rooms of signaling, or one of them with its members.

use std::borrow::Cow;
use std::time::Duration;

use serde::Deserialize;

use super::client::{ConnectArgs, Fetched, fetch, printable};
use super::columns::table;
use super::exit::{Exit, Stop};
use super::output::{Lines, note};
use super::{json, output};

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Only this room, with its members
    #[arg(value_name = "ROOM")]
    room: Option<String>,
    /// Print what the server answers, as one line of JSON
    #[arg(long)]
    json: bool,
    /// Seconds to wait for the answer
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,
    #[command(flatten)]
    connect: ConnectArgs,
}

const EXAMPLES: &str = "\
Examples:
  hydrogen rooms
  hydrogen rooms 5f0c9a1b2c3d4e5f
  hydrogen rooms --json | jq '.rooms[] | select(.members | length > 1) | .id'

The server lists 1,000 rooms at most.";

#[derive(Deserialize)]
struct List<'a> {
    total: u64,
    #[serde(borrow)]
    rooms: Vec<Room<'a>>,
}

#[derive(Deserialize)]
struct Room<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    owner: Cow<'a, str>,
    #[serde(borrow)]
    last_active: Cow<'a, str>,
    #[serde(borrow)]
    members: Vec<Member<'a>>,
}

#[derive(Deserialize)]
struct Member<'a> {
    #[serde(borrow)]
    public_key: Cow<'a, str>,
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    state: Cow<'a, str>,
}

pub fn run(args: Args) -> Result<(), Stop> {
    let path = match &args.room {
        Some(room) if room.is_empty() || !room.bytes().all(|b| b.is_ascii_alphanumeric()) => {
            return Err(Stop::usage("a room's id has letters and digits alone"));
        }
        Some(room) => format!("/api/rooms?room={room}"),
        None => "/api/rooms".to_owned(),
    };
    let target = args.connect.build_here()?;
    let body = match (fetch(&target, &path, Duration::from_secs(args.timeout))?, &args.room) {
        (Fetched::Found(body), _) => body,
        (Fetched::NotFound, Some(room)) => {
            return Err(Stop::new(Exit::Answered, format_args!("{target} lists no room {room}")));
        }
        (Fetched::NotFound, None) => {
            return Err(Stop::new(Exit::Answered, format_args!("{target} serves no rooms (Signaling.Enabled)")));
        }
    };
    if args.json {
        return output::print(json::on_one_line(&body));
    }
    let list: List<'_> = serde_json::from_str(&body)
        .map_err(|error| Stop::new(Exit::Lost, format_args!("the rooms are not to be read: {error}")))?;
    let mut lines = Lines::new();
    let rows = match (&args.room, list.rooms.as_slice()) {
        (Some(_), [room]) => members(room),
        (Some(_) | None, rooms) => overview(rooms),
    };
    for row in rows {
        lines.line(&[&row])?;
    }
    lines.flush()?;
    if args.room.is_none() && list.total > list.rooms.len() as u64 {
        note(format_args!("hydrogen: {} of {} rooms are listed", list.rooms.len(), list.total));
    }
    Ok(())
}

fn overview(rooms: &[Room<'_>]) -> Vec<String> {
    let row = |room: &Room<'_>| {
        let online = room.members.iter().filter(|member| member.state == "online").count();
        let there = format!("{online}/{}", room.members.len());
        [printable(&room.id), printable(&room.name), there, printable(&room.last_active), printable(&room.owner)]
    };
    table(["ROOM", "NAME", "ONLINE", "LAST ACTIVE", "OWNER"], &rooms.iter().map(row).collect::<Vec<_>>())
}

fn members(room: &Room<'_>) -> Vec<String> {
    let row = |member: &Member<'_>| [&member.public_key, &member.name, &member.state].map(|text| printable(text));
    table(["KEY", "NAME", "STATE"], &room.members.iter().map(row).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_are_rows_and_text_cannot_steer_a_terminal() {
        let body = r#"{"total":2,"rooms":[{"id":"00ff","name":"a\u001b[2Jb","owner":"K=","created":"c","last_active":"l",
            "members":[{"public_key":"K=","name":"Owner","state":"online"},{"public_key":"P=","name":"","state":"away"}]}]}"#;
        let list: List<'_> = serde_json::from_str(body).unwrap();
        assert_eq!(
            overview(&list.rooms),
            ["ROOM  NAME    ONLINE  LAST ACTIVE  OWNER", "00ff  a [2Jb  1/2     l            K="]
        );
        assert_eq!(members(&list.rooms[0]), ["KEY  NAME   STATE", "K=   Owner  online", "P=          away"]);
    }
}
