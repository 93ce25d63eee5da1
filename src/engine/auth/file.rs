//! The keys file: JSON, version 1, a list of records.
//!
//! Reads and writes its text. One damaged record is an error of the whole file, named by its
//! place, so that no key is lost without a word; the caller keeps the keys that it had. No error
//! repeats a value, since a value may be a secret in the wrong place.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::identity::Identity;
use super::keyring::KeyRecord;
use super::permission::Permissions;
use super::signature::Signing;
use super::token::{KeyId, SecretHash};
use crate::base::Wall;
use crate::base::limits::KEYS;

const VERSION: u64 = 1;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile<'a> {
    version: Value,
    #[serde(borrow)]
    keys: &'a RawValue,
}

/// Every field may hold anything here, so that the errors are ours.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRecord {
    id: Option<Value>,
    name: Option<Value>,
    hash: Option<Value>,
    permissions: Option<Value>,
    created: Option<Value>,
    expires: Option<Value>,
    revoked: Option<Value>,
    signing: Option<Value>,
}

/// Reads the file's text.
pub fn parse(text: &str) -> Result<Vec<KeyRecord>, String> {
    let file: RawFile = object(text)?;
    if file.version != VERSION {
        return Err("`version` is not 1".into());
    }
    let at_line = |raw: &RawValue| line_of(text, raw.get());
    if !file.keys.get().starts_with('[') {
        return Err(format!("line {}: `keys` is no list", at_line(file.keys)));
    }
    let raws: Vec<&RawValue> = serde_json::from_str(file.keys.get()).map_err(|error| position(&error))?;
    if raws.len() > KEYS {
        return Err(format!("more than {KEYS} keys"));
    }
    let mut records: Vec<KeyRecord> = Vec::with_capacity(raws.len());
    let mut ids = std::collections::BTreeMap::new();
    for (index, raw) in raws.iter().enumerate() {
        let number = index + 1;
        let record = object(raw.get()).and_then(RawRecord::check);
        let record = record.map_err(|why| format!("key {number} (line {}): {why}", at_line(raw)))?;
        if let Some(first) = ids.insert(record.id, number) {
            return Err(format!("key {number} (line {}): key {first} has the same `id`, {}", at_line(raw), record.id));
        }
        records.push(record);
    }
    Ok(records)
}

fn object<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, String> {
    if !text.trim_start().starts_with('{') {
        return Err("it is no JSON object".into());
    }
    serde_json::from_str(text).map_err(|error| match error.classify() {
        // All fields take anything, so this is about the names of fields.
        serde_json::error::Category::Data => error.to_string(),
        serde_json::error::Category::Io | serde_json::error::Category::Syntax | serde_json::error::Category::Eof => {
            position(&error)
        }
    })
}

fn position(error: &serde_json::Error) -> String {
    format!("no JSON: {error}")
}

/// `part` is a piece of `text`.
fn line_of(text: &str, part: &str) -> usize {
    let offset = (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1
}

impl RawRecord {
    fn check(self) -> Result<KeyRecord, String> {
        let id: KeyId = text("id", self.id.as_ref())?.parse().map_err(|()| "`id` is no key id")?;
        let within = |why: &dyn fmt::Display| format!("`{id}`: {why}");
        let name = text("name", self.name.as_ref()).map_err(|why| within(&why))?;
        Identity::check_name(name).map_err(|why| within(&why))?;
        let within = |why: &dyn fmt::Display| format!("`{id}`, {name}: {why}");
        let hash = text("hash", self.hash.as_ref()).map_err(|why| within(&why))?;
        let signing = self.signing.filter(|value| !value.is_null());
        Ok(KeyRecord {
            id,
            name: name.into(),
            hash: SecretHash::parse(hash).ok_or_else(|| within(&"`hash` is not sha256: and 64 hex digits"))?,
            permissions: permissions(self.permissions.as_ref()).map_err(|why| within(&why))?,
            created: time("created", self.created.as_ref())
                .and_then(|time| time.ok_or_else(|| "`created` is missing".into()))
                .map_err(|why| within(&why))?,
            expires: time("expires", self.expires.as_ref()).map_err(|why| within(&why))?,
            revoked: time("revoked", self.revoked.as_ref()).map_err(|why| within(&why))?,
            signing: signing.as_ref().map(signing_of).transpose().map_err(|why| within(&why))?,
        })
    }
}

fn text<'a>(field: &str, value: Option<&'a Value>) -> Result<&'a str, String> {
    value.ok_or_else(|| format!("`{field}` is missing"))?.as_str().ok_or_else(|| format!("`{field}` is no text"))
}

fn permissions(value: Option<&Value>) -> Result<Permissions, String> {
    let list = value.ok_or("`permissions` is missing")?.as_array().ok_or("`permissions` is no list")?;
    let texts: Option<Vec<&str>> = list.iter().map(Value::as_str).collect();
    Permissions::parse(&texts.ok_or("`permissions` is no list of texts")?).map_err(|error| error.to_string())
}

fn time(field: &str, value: Option<&Value>) -> Result<Option<Wall>, String> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            let time = value.as_str().and_then(Wall::parse);
            time.map(Some).ok_or_else(|| format!("`{field}` is no RFC 3339 time"))
        }
    }
}

fn signing_of(value: &Value) -> Result<Signing, &'static str> {
    const FORM: &str = "`signing` is an object with `ed25519` or `hmac_sha256`, and a text in it";
    let mut fields = value.as_object().ok_or(FORM)?.iter();
    let (Some((kind, key)), None) = (fields.next(), fields.next()) else { return Err(FORM) };
    let key = key.as_str().ok_or(FORM)?;
    match kind.as_str() {
        "ed25519" => Signing::ed25519(key),
        "hmac_sha256" => Signing::hmac_sha256(key),
        _ => Err(FORM),
    }
}

#[derive(Serialize)]
struct WrittenFile {
    version: u64,
    keys: Vec<WrittenRecord>,
}

#[derive(Serialize)]
struct WrittenRecord {
    id: String,
    name: String,
    hash: String,
    permissions: Vec<String>,
    created: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signing: Option<serde_json::Map<String, Value>>,
}

/// The file's text, in the records' order. It holds the secrets of HMAC signing.
pub fn render(records: &[KeyRecord]) -> String {
    let keys = records.iter().map(|record| WrittenRecord {
        id: record.id.to_string(),
        name: record.name.to_string(),
        hash: record.hash.to_text(),
        permissions: record.permissions.iter().map(|permission| permission.to_string()).collect(),
        created: record.created.to_string(),
        expires: record.expires.map(|time| time.to_string()),
        revoked: record.revoked.map(|time| time.to_string()),
        signing: record.signing.as_ref().map(|signing| {
            let (kind, key) = signing.expose();
            [(kind.to_owned(), Value::String(key))].into_iter().collect()
        }),
    });
    let file = WrittenFile { version: VERSION, keys: keys.collect() };
    // Texts, numbers and lists always encode, so the fallback is never taken.
    let mut text = serde_json::to_string_pretty(&file).unwrap_or_default();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests;
