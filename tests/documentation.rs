//! The pages against the code: what a page lists is all that there is, links lead somewhere, and
//! examples are what they claim to be.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hydrogen::base::metric::{FAMILIES, Kind};
use hydrogen::base::{Code, Reason, Wall, limits};
use hydrogen::config::{Config, reference};
use hydrogen::dialect::hydrogen::Reports;
use hydrogen::dialect::hydrogen::system::SystemChannel;
use hydrogen::engine::auth::{Signed, Signing};
use hydrogen::engine::channel::{Channel, Responder};
use hydrogen::engine::topic::pattern::BUILT_IN_CHANNELS;
use hydrogen::server::Server;

fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn page(path: &str) -> String {
    fs::read_to_string(in_repository(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The rows of all tables of a page, as their cells without the space around them.
fn rows(page: &str) -> Vec<Vec<&str>> {
    page.lines().filter(|line| line.starts_with("| ")).map(cells).collect()
}

fn cells(row: &str) -> Vec<&str> {
    row.trim().trim_matches('|').split(" | ").map(str::trim).collect()
}

fn code(text: &str) -> String {
    format!("`{text}`")
}

/// Texts between backticks, outside of blocks.
fn inline_code(page: &str) -> BTreeSet<String> {
    let (mut found, mut is_block) = (BTreeSet::new(), false);
    for line in page.lines() {
        if line.starts_with("```") {
            is_block = !is_block;
        } else if !is_block {
            found.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    found
}

/// The blocks of a language, with the line in which each begins.
fn blocks(page: &str, language: &str) -> Vec<(usize, String)> {
    let (mut found, mut open): (Vec<(usize, String)>, Option<bool>) = (Vec::new(), None);
    for (index, line) in page.lines().enumerate() {
        match (line.strip_prefix("```"), open) {
            (Some(name), None) => {
                open = Some(name == language);
                if name == language {
                    found.push((index + 1, String::new()));
                }
            }
            (Some(_), Some(_)) => open = None,
            (None, Some(true)) => {
                // The block that is open was pushed when it began.
                let (_, text) = found.last_mut().unwrap();
                text.push_str(line);
                text.push('\n');
            }
            (None, Some(false) | None) => {}
        }
    }
    found
}

#[test]
fn every_error_code_has_its_row_with_category_and_retry() {
    let page = page("docs/protocol.md");
    let rows = rows(&page);
    let listed: Vec<&Vec<&str>> =
        rows.iter().filter(|row| row.len() == 4 && matches!(row[2], "yes" | "no") && row[1].starts_with('`')).collect();
    for known in Code::ALL {
        let retry = if known.is_retryable() { "yes" } else { "no" };
        let wanted = [known.category().as_str(), &code(known.as_str()), retry];
        assert!(listed.iter().any(|row| row[..3] == wanted), "{wanted:?}");
    }
    assert_eq!(listed.len(), Code::ALL.len(), "a row for a code that is not there, or twice");
}

#[test]
fn every_reason_is_named_and_has_its_close_code() {
    let page = page("docs/protocol.md");
    let rows = rows(&page);
    let is_close_code = |text: &str| text.len() == 4 && text.parse::<u16>().is_ok();
    let closing: Vec<_> = rows.iter().filter(|row| is_close_code(row[0])).collect();
    let named = inline_code(&page);
    for reason in Reason::ALL {
        match reason.close_code() {
            Some(number) => {
                let wanted = [number.to_string(), code(reason.as_str())];
                assert!(closing.iter().any(|row| row[..2] == wanted), "{wanted:?}");
            }
            None => assert!(named.contains(reason.as_str()), "{}", reason.as_str()),
        }
    }
    let with_code = Reason::ALL.iter().filter(|reason| reason.close_code().is_some()).count();
    assert_eq!(closing.len(), with_code, "a row for a reason that is not there, or twice");
}

struct NoReports;

impl Reports for NoReports {
    fn status(&self, _older: bool, responder: Responder) {
        responder.done("{}");
    }
}

#[test]
fn every_system_action_is_in_the_table_of_commands() {
    let page = page("docs/protocol.md");
    let start = page.find("## Commands of the channel `system`").expect("the section is there");
    let section = &page[start..start + page[start..].find("\n### ").expect("it has parts")];
    let rows = rows(section);
    let listed: BTreeSet<&str> = rows
        .iter()
        .flat_map(|row| row[0].split(", "))
        .filter_map(|cell| cell.strip_prefix('`')?.strip_suffix('`'))
        .collect();
    let channel = SystemChannel::new(Arc::new(NoReports));
    let known: BTreeSet<&str> = channel.actions().iter().map(|action| action.name).collect();
    assert_eq!(listed, known);
}

#[test]
fn the_numbers_on_the_protocol_page_are_those_of_the_code() {
    // Wherever the lines are broken.
    let page = page("docs/protocol.md").split_whitespace().collect::<Vec<_>>().join(" ");
    for text in [
        format!("| a topic or pattern | {} bytes, {} tokens |", limits::TOPIC_BYTES, limits::TOPIC_TOKENS),
        format!(
            "| an id; a channel; an action | {}; {}; {} bytes |",
            limits::ID_BYTES,
            limits::CHANNEL_BYTES,
            limits::ACTION_BYTES
        ),
        format!("| topics in one command | {} |", limits::TOPICS_PER_COMMAND),
        format!("| rows of a page | {} |", limits::PAGE_ROWS),
        format!("`{{\"type\":\"ack\",\"ids\":[\"…\"]}}` ({} at most)", limits::IDS_PER_ACK),
        format!("({} bytes at most). Acks get no response", limits::REJECT_REASON_BYTES),
        format!(
            "At most {} conditions, {} tokens in a path, {} KiB in all",
            limits::FILTER_CONDITIONS,
            limits::FILTER_PATH_TOKENS,
            limits::FILTER_BYTES / 1024
        ),
        format!("A token has {} bytes at most", limits::CREDENTIAL_BYTES),
        format!("There are {} blocks at most", limits::BLOCKS),
        format!("`reason` has {} bytes at most", limits::BLOCK_REASON_BYTES),
        format!("the first {} |", limits::DROPPED_TOPICS_LISTED),
        format!("{} fields | `431` |", limits::HTTP_HEADERS),
    ] {
        assert!(page.contains(&text), "{text}");
    }
    assert!(limits::SIGNED_IDS_PER_IDENTITY == 16_384 && page.contains("16,384 of one identity"));
    let [first @ .., last] = BUILT_IN_CHANNELS else { panic!("there are some") };
    let first: Vec<String> = first.iter().map(|name| code(name)).collect();
    assert!(page.contains(&format!("**The built-in channels are {} and `{last}`.**", first.join(", "))));
}

#[test]
fn configuration_keys_on_the_protocol_page_exist() {
    let keys = reference();
    // Names that look like keys and are something else.
    let others = ["Authorization", "Upgrade", "Origin", "MiB"];
    for name in inline_code(&page("docs/protocol.md")) {
        let last = name.rsplit('.').next().unwrap_or(&name);
        let is_word = last.starts_with(|first: char| first.is_ascii_uppercase())
            && last.len() > 2
            && last.bytes().all(|byte| byte.is_ascii_alphabetic());
        if is_word && !others.contains(&last) && last.bytes().any(|byte| byte.is_ascii_lowercase()) {
            assert!(keys.contains(&format!("| `{last}` |")), "{name} is no key of the configuration");
        }
    }
}

#[test]
fn the_signatures_on_the_protocol_page_are_right() {
    let page = page("docs/protocol.md");
    let data = r#"{"topic":"sensors.a","payload":21.5}"#;
    let timestamp = "2026-02-26T18:45:00.000Z";
    let signed = Signed {
        kind: "command",
        id: "c-1",
        timestamp: Some(timestamp),
        channel: "system",
        action: "publish",
        data: data.as_bytes(),
    };
    let text = String::from_utf8(signed.text().unwrap()).unwrap();
    let shown: String = text.lines().map(|line| format!("    {line}\n")).collect();
    assert!(page.contains(&shown), "the signed text");
    let secret = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
    let public = "A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg";
    for (signing, key, signature) in [
        (Signing::hmac_sha256(secret).unwrap(), secret, "D3zpztjvsnAyWvZKLhIeJIkptHp880Ag3tPZ9930T5M"),
        (
            Signing::ed25519(public).unwrap(),
            public,
            "1bAMEpRsd6_nuuqEDfDOuqzNSg3Qq7nfxqf7D9tJjU5aI4CT1xZOqNU5wgFzuUno4kAJPSAhqm686s0czvW2BA",
        ),
    ] {
        assert!(page.contains(&code(key)) && page.contains(&code(signature)), "{signing:?}");
        let now = Wall::parse(timestamp).unwrap();
        let verified = signed.verify(Some(signature), Some(&signing), now, Duration::from_secs(60));
        assert_eq!(verified, Ok(now), "{signing:?}");
    }
}

#[test]
fn examples_in_json_are_json() {
    for path in ["README.md", "docs/protocol.md", "docs/channels.md"] {
        let page = page(path);
        let blocks = blocks(&page, "json");
        assert!(!blocks.is_empty(), "{path}");
        for (line, text) in blocks {
            // Long lists are cut short on some pages.
            let text = text.replace("[…]", "[]");
            serde_json::from_str::<serde_json::Value>(&text).unwrap_or_else(|error| panic!("{path}:{line}: {error}"));
        }
    }
}

/// The one family that is there only once it has something to tell of: a durable subscription.
const OF_SUBSCRIPTIONS: &str = "hydrogen_durable_subscription_outstanding";

/// What a server says about itself, as Prometheus would read it: name and type of each family.
fn served_families() -> BTreeMap<String, String> {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("keys.json"), r#"{"version":1,"keys":[]}"#).unwrap();
    let text = format!(
        r#"{{"DataDir": {:?}, "WebSocketServer": {{"Port": 0}}, "Monitoring": {{"NetworkInterval": 0}}}}"#,
        dir.path()
    );
    let config = Config::parse(&text, "test", &|_| None).unwrap().config;
    let server = Server::builder(config).start().unwrap();
    let mut socket = TcpStream::connect(server.addresses()[0]).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket.write_all(b"GET /metrics HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    server.stop();
    let family = |line: &str| line.strip_prefix("# TYPE ")?.split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned()));
    answer.lines().filter_map(family).collect()
}

#[test]
fn every_metric_is_on_the_operations_page_and_no_other() {
    let served = served_families();
    for family in FAMILIES.iter().filter(|family| family.kind != Kind::GaugeDown) {
        assert!(served.contains_key(&format!("hydrogen_{}", family.name)), "{}", family.name);
    }
    let page = page("docs/operations.md");
    let named = inline_code(&page);
    for name in served.keys() {
        assert!(named.contains(name), "{name} is not on the page");
    }
    // Also in expressions and in the rules for alerts.
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    for word in page.split(|c: char| !is_part(c)).filter(|word| word.starts_with("hydrogen_") && word.len() > 9) {
        let is_histogram = |name: &str| served.get(name).is_some_and(|kind| kind == "histogram");
        let is_known = served.contains_key(word)
            || ["_bucket", "_sum", "_count"].iter().any(|end| word.strip_suffix(end).is_some_and(is_histogram))
            || word == "hydrogen_connection" // a variable of the proxy's
            || word == OF_SUBSCRIPTIONS;
        assert!(is_known, "{word} is on the page, and no metric");
    }
}

#[test]
fn labels_in_alerts_have_values_that_exist() {
    let page = page("docs/operations.md");
    let mut seen = 0;
    for (index, _) in page.match_indices('{') {
        let before = &page[..index];
        let name = before.rsplit(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next().unwrap_or_default();
        let Some(family) = FAMILIES.iter().find(|family| name.strip_prefix("hydrogen_") == Some(family.name)) else {
            continue;
        };
        let selector = page[index + 1..].split('}').next().unwrap_or_default();
        let (label, value) = selector.split_once('=').expect("a selector has a label");
        assert_eq!(label, family.label, "{name}");
        assert!(family.values.contains(&value.trim_matches('"')), "{name}{{{selector}}}");
        seen += 1;
    }
    assert!(seen > 3, "the page has selectors");
}

fn pages() -> Vec<PathBuf> {
    let mut found = vec![in_repository("README.md"), in_repository("CHANGELOG.md")];
    for folder in ["docs", "docs/decisions"] {
        let entries = fs::read_dir(in_repository(folder)).unwrap();
        found.extend(
            entries.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == "md")),
        );
    }
    found.sort();
    found
}

/// The anchor that a heading gets: lower case, spaces to hyphens, without what is no letter, digit, hyphen or underscore.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase().replace(' ', "-");
    kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect()
}

fn anchors(text: &str) -> BTreeSet<String> {
    let (mut found, mut is_block) = (BTreeSet::new(), false);
    for line in text.lines() {
        is_block ^= line.starts_with("```");
        if !is_block && line.starts_with('#') {
            found.insert(anchor(line.trim_start_matches('#')));
        }
    }
    found
}

#[test]
fn links_between_pages_lead_somewhere() {
    let pages = pages();
    assert!(pages.len() > 12);
    for from in &pages {
        let text = fs::read_to_string(from).unwrap();
        for (index, _) in text.match_indices("](") {
            let target = text[index + 2..].split(')').next().unwrap_or_default();
            if target.contains("://") {
                continue;
            }
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let path = if file.is_empty() { from.clone() } else { from.parent().unwrap().join(file) };
            assert!(path.exists(), "{}: {target}", from.display());
            if !heading.is_empty() {
                let there = fs::read_to_string(&path).unwrap();
                assert!(anchors(&there).contains(heading), "{}: {target}", from.display());
            }
        }
    }
}

#[test]
fn the_readme_and_the_list_of_decisions_name_every_page() {
    let (readme, list) = (page("README.md"), page("docs/decisions/README.md"));
    for path in pages() {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let is_decision = path.parent().unwrap().ends_with("decisions");
        match (is_decision, name.as_str()) {
            (_, "README.md") => {}
            (true, _) => assert!(list.contains(&format!("({name})")), "{name}"),
            (false, _) => assert!(readme.contains(&format!("{name})")), "{name}"),
        }
    }
}
