//! Lists of objects: each item is read as a section is, and its keys are declared once.

use jsonc_parser::ast::Value;

use super::{Found, Reader};
use crate::config::syntax::start;

/// The documentation of a list, and of its items.
pub(in crate::config) struct ItemDocs {
    pub(in crate::config) list: &'static str,
    pub(in crate::config) item: &'static str,
}

impl<'a> Reader<'_, 'a> {
    /// The objects of a list. `read` gives `None` for an item of which it reported what is wrong.
    pub(in crate::config) fn items<T>(
        &mut self,
        name: &'static str,
        max: usize,
        docs: &ItemDocs,
        read: impl Fn(&mut Reader<'_, 'a>) -> Option<T>,
    ) -> Vec<T> {
        self.declare(name, format!("list of up to {max} objects, as below"), "`[]`".into(), docs.list);
        self.declare_item(name, docs.item, &read);
        let Some(found) = self.find(name) else { return Vec::new() };
        let items = match found.value {
            Value::Array(list) => &list.elements,
            _ => {
                self.wrong_type(&found, "a list of objects");
                return Vec::new();
            }
        };
        if items.len() > max {
            self.wrong(&found, format!("{} items, where {max} are allowed", items.len()));
            return Vec::new();
        }
        let mut values = Vec::with_capacity(items.len());
        for (index, value) in items.iter().enumerate() {
            let item = Found { value, path: format!("{}[{index}]", found.path), is_older: false };
            self.reading.places.insert(item.path.clone(), start(value));
            let Value::Object(object) = value else {
                self.wrong_type(&item, "an object");
                continue;
            };
            let mut reader = Reader {
                reading: self.reading,
                object: Some(object),
                path: item.path,
                known: Vec::new(),
                declares: false,
            };
            values.extend(read(&mut reader));
            reader.finish();
        }
        values
    }

    /// Enters an item's keys into the reference, from one that is not there.
    fn declare_item<T>(
        &mut self,
        name: &'static str,
        doc: &'static str,
        read: &impl Fn(&mut Reader<'_, 'a>) -> Option<T>,
    ) {
        if !self.declares {
            return;
        }
        let path = format!("{}[]", self.path_of(name));
        self.reading.keys.push(super::KeyDoc { path: path.clone(), value: String::new(), default: String::new(), doc });
        let mut reader = Reader { reading: self.reading, object: None, path, known: Vec::new(), declares: true };
        let _ = read(&mut reader);
    }
}
