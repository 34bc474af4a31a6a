//! The public items of a crate, as rustdoc's JSON has them, in a form that can be compared.
//!
//! What does not matter to a user of the crate is left out: names of arguments, values of constants, bodies, and the private
//! modules in which things are defined. What a user could count on is in: the fields of a struct that can be written out,
//! the variants of an enum that can be matched, the items that an implementation of a trait must have.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::{Map, Value};

/// Each public item by its path, with what must not change about it.
pub type Listing = BTreeMap<String, String>;

/// Lists the public items of the crate whose JSON this is.
///
/// # Errors
/// It is not rustdoc's JSON.
pub fn list(document: &Value) -> Result<Listing> {
    let index = document["index"].as_object().context("rustdoc's JSON has no index")?;
    let paths = document["paths"].as_object().context("rustdoc's JSON has no paths")?;
    let mut reader = Reader { index, paths, modules: Vec::new(), listing: Listing::new() };
    let root = reader.item(&document["root"]).context("rustdoc's JSON has no root")?;
    reader.item_at(name_of(root).unwrap_or("crate").to_owned(), root);
    Ok(reader.listing)
}

/// What of `base` is gone in `now`, or has changed: a line each.
pub fn broken(base: &Listing, now: &Listing) -> Vec<String> {
    let lost = |(path, was): (&String, &String)| match now.get(path) {
        None => Some(format!("{path} is gone")),
        Some(is) if is != was => Some(format!("{path} has changed\n    was {was}\n    is  {is}")),
        Some(_) => None,
    };
    base.iter().filter_map(lost).collect()
}

/// A walk over the public items.
struct Reader<'a> {
    index: &'a Map<String, Value>,
    paths: &'a Map<String, Value>,
    /// The modules that the walk is in: a module may hold another name for one that it lies in.
    modules: Vec<u64>,
    listing: Listing,
}

impl<'a> Reader<'a> {
    /// The item of this number, where it is of this crate.
    fn item(&self, id: &Value) -> Option<&'a Value> {
        self.index.get(&id.as_u64()?.to_string())
    }

    /// Those of `ids` that are of this crate, and that rustdoc did not leave out.
    fn items(&self, ids: &Value) -> Vec<&'a Value> {
        ids.as_array().into_iter().flatten().filter_map(|id| self.item(id)).collect()
    }

    fn put(&mut self, path: String, what: String) {
        self.listing.insert(path, what);
    }

    /// Lists `item` under the name `path`.
    fn item_at(&mut self, path: String, item: &'a Value) {
        let Some((kind, inner)) = item["inner"].as_object().and_then(|inner| inner.iter().next()) else {
            return;
        };
        match kind.as_str() {
            "module" => self.module(&path, item, inner),
            "use" => self.re_export(&path, inner),
            "struct" | "union" => self.structure(&path, item, kind, inner),
            "enum" => self.enumeration(&path, item, inner),
            "trait" => self.of_trait(&path, inner),
            "constant" | "static" | "assoc_const" => {
                self.put(path, format!("{kind} {}", self.canonical(&inner["type"])));
            }
            "function" => self.put(path, self.function(inner)),
            _ => self.put(path, format!("{kind} {}", self.canonical(inner))),
        }
    }

    fn function(&self, inner: &Value) -> String {
        let (header, generics) = (self.canonical(&inner["header"]), self.canonical(&inner["generics"]));
        format!("function {header} {generics} {}", self.canonical(&inner["sig"]))
    }

    fn module(&mut self, path: &str, item: &Value, inner: &'a Value) {
        let id = item["id"].as_u64().unwrap_or_default();
        if self.modules.contains(&id) {
            return;
        }
        self.modules.push(id);
        self.children(path, &inner["items"]);
        self.modules.pop();
    }

    /// The public ones of `items`, each by its name behind `path`.
    fn children(&mut self, path: &str, items: &'a Value) {
        for item in self.items(items) {
            if !matches!(item["visibility"].as_str(), Some("public" | "default")) {
                continue;
            }
            let path = name_of(item).map_or_else(|| path.to_owned(), |name| format!("{path}::{name}"));
            self.item_at(path, item);
        }
    }

    /// Another name for something: `path` is that of the module where it stands.
    fn re_export(&mut self, path: &str, inner: &'a Value) {
        let (name, source) = (inner["name"].as_str().unwrap_or_default(), &inner["source"]);
        let glob = inner["is_glob"].as_bool() == Some(true);
        match self.item(&inner["id"]) {
            // Of a module or of an enum.
            Some(item) if glob => {
                let (module, variants) = (&item["inner"]["module"], &item["inner"]["enum"]["variants"]);
                self.children(path, if module.is_null() { variants } else { &module["items"] });
            }
            Some(item) => self.item_at(format!("{path}::{name}"), item),
            None => self
                .put(format!("{path}::{}", if glob { "*" } else { name }), format!("re-export of {source}")),
        }
    }

    fn structure(&mut self, path: &str, item: &Value, kind: &str, inner: &'a Value) {
        let fields = match &inner["kind"] {
            Value::Object(shape) => shape.get("tuple").unwrap_or(&inner["kind"]["plain"]["fields"]),
            _ => &inner["fields"],
        };
        let all: Vec<_> = fields.as_array().into_iter().flatten().map(|id| self.item(id)).collect();
        let stripped = inner["kind"]["plain"]["has_stripped_fields"].as_bool() == Some(true);
        let can_be_written = !is_non_exhaustive(item) && !stripped && all.iter().all(Option::is_some);
        let names: Vec<_> = all.iter().flatten().filter_map(|field| name_of(field)).collect();
        let what = if can_be_written { format!(" {{ {} }}", names.join(", ")) } else { String::new() };
        self.put(path.to_owned(), format!("{kind} {}{what}", self.canonical(&inner["generics"])));
        self.children(path, fields);
        self.implementations(path, &inner["impls"]);
    }

    fn enumeration(&mut self, path: &str, item: &Value, inner: &'a Value) {
        let variants = &inner["variants"];
        let all = self.items(variants);
        let names: Vec<_> = all.iter().filter_map(|variant| name_of(variant)).collect();
        let open = is_non_exhaustive(item);
        let what = if open { String::new() } else { format!(" {{ {} }}", names.join(", ")) };
        self.put(path.to_owned(), format!("enum {}{what}", self.canonical(&inner["generics"])));
        for variant in all {
            let path = format!("{path}::{}", name_of(variant).unwrap_or_default());
            let kind = &variant["inner"]["variant"]["kind"];
            let (tuple, fields) = (&kind["tuple"], &kind["struct"]["fields"]);
            let fields = if tuple.is_null() { fields } else { tuple };
            let mut types = Vec::new();
            for field in self.items(fields) {
                let name = name_of(field).unwrap_or_default();
                types.push(format!("{name}: {}", self.canonical(&field["inner"]["struct_field"])));
            }
            self.put(path, format!("variant {{ {} }}", types.join(", ")));
        }
        self.implementations(path, &inner["impls"]);
    }

    fn of_trait(&mut self, path: &str, inner: &'a Value) {
        let items = self.items(&inner["items"]);
        let required: Vec<_> =
            items.iter().filter(|item| is_required(item)).filter_map(|item| name_of(item)).collect();
        let (generics, bounds) = (self.canonical(&inner["generics"]), self.canonical(&inner["bounds"]));
        self.put(path.to_owned(), format!("trait {generics} {bounds} {{ {} }}", required.join(", ")));
        self.children(path, &inner["items"]);
        self.implementations(path, &inner["implementations"]);
    }

    /// The methods of a type, and which traits it has.
    fn implementations(&mut self, path: &str, impls: &'a Value) {
        for item in self.items(impls) {
            let inner = &item["inner"]["impl"];
            if inner["trait"].is_null() {
                self.children(path, &inner["items"]);
            } else if inner["blanket_impl"].is_null() {
                let not = if inner["is_negative"].as_bool() == Some(true) { "!" } else { "" };
                let (which, whose) = (self.canonical(&inner["trait"]), self.canonical(&inner["for"]));
                self.put(format!("impl {not}{which} for {whose}"), self.canonical(&inner["generics"]));
            }
        }
    }

    /// A part of a signature, without what may change: of each path the crate and the name are left, whichever way it is
    /// written, and of each argument the type.
    fn canonical(&self, value: &Value) -> String {
        match value {
            Value::Object(fields) => {
                let mut parts = Vec::new();
                if let (Some(path), Some(id)) = (fields.get("path"), fields.get("id")) {
                    parts.push(
                        self.defined(id).unwrap_or_else(|| path.as_str().unwrap_or_default().to_owned()),
                    );
                }
                for (key, value) in fields {
                    match (key.as_str(), value) {
                        (_, Value::Null) | ("path" | "id", _) => {}
                        ("inputs", Value::Array(inputs)) => {
                            let types = inputs.iter().map(|input| self.canonical(&input[1]));
                            parts.push(format!("({})", types.collect::<Vec<_>>().join(", ")));
                        }
                        _ => parts.push(format!("{key}={}", self.canonical(value))),
                    }
                }
                format!("{{{}}}", parts.join(" "))
            }
            Value::Array(values) => {
                let values: Vec<_> = values.iter().map(|value| self.canonical(value)).collect();
                format!("[{}]", values.join(" "))
            }
            other => other.to_string(),
        }
    }

    /// Crate and name of what the number stands for.
    fn defined(&self, id: &Value) -> Option<String> {
        let path = self.paths.get(&id.as_u64()?.to_string())?["path"].as_array()?;
        let (first, last) = (path.first()?.as_str()?, path.last()?.as_str()?);
        Some(format!("{first}::{last}"))
    }
}

fn name_of(item: &Value) -> Option<&str> {
    item["name"].as_str()
}

fn is_non_exhaustive(item: &Value) -> bool {
    item["attrs"].to_string().contains("non_exhaustive")
}

/// Whether an implementation of the trait must have the item.
fn is_required(item: &Value) -> bool {
    let inner = &item["inner"];
    let has_default = inner["function"]["has_body"].as_bool() == Some(true)
        || !inner["assoc_const"]["value"].is_null()
        || !inner["assoc_type"]["type"].is_null();
    !has_default
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// What rustdoc says of a crate with a private module that is re-exported: `pub enum Colour { Red }`, a trait, and a
    /// function `paint(COLOUR: Colour)`.
    fn document() -> Value {
        let item = |id: u64, name: Value, inner: Value| json!({ "id": id, "name": name, "visibility": "public", "attrs": [], "inner": inner });
        let colour = json!({ "resolved_path": { "path": "Colour", "id": 3, "args": null } });
        let method = |has_body: bool| {
            json!({ "function": { "sig": { "inputs": [["self", { "generic": "Self" }]], "output": null },
                "generics": {}, "header": {}, "has_body": has_body } })
        };
        json!({
            "root": 0,
            "paths": { "3": { "path": ["paint", "inner", "Colour"] } },
            "index": {
                "0": item(0, json!("paint"), json!({ "module": { "items": [1, 2, 5, 8] } })),
                "1": item(1, json!("paint"), json!({ "function": {
                    "sig": { "inputs": [["colour", colour]], "output": null }, "generics": {}, "header": {} } })),
                "2": item(2, Value::Null, json!({ "use": {
                    "source": "inner::Colour", "name": "Colour", "id": 3, "is_glob": false } })),
                "3": item(3, json!("Colour"), json!({ "enum": { "generics": {}, "variants": [4], "impls": [9] } })),
                "4": item(4, json!("Red"), json!({ "variant": { "kind": "plain" } })),
                "5": item(5, json!("Tool"), json!({ "trait": {
                    "generics": {}, "bounds": [], "items": [6, 7], "implementations": [] } })),
                "6": item(6, json!("must"), method(false)),
                "7": item(7, json!("may"), method(true)),
                "8": item(8, json!("LIMIT"), json!({ "constant": {
                    "type": { "primitive": "u8" }, "const": { "expr": "7" } } })),
                "9": item(9, Value::Null, json!({ "impl": {
                    "trait": { "path": "Clone", "id": 99, "args": null }, "for": colour, "items": [],
                    "generics": {}, "is_negative": false, "blanket_impl": null } })),
                "10": item(10, json!("Blue"), json!({ "variant": { "kind": "plain" } })),
            },
        })
    }

    /// What is broken where `change` is made.
    fn after(change: impl FnOnce(&mut Value)) -> Vec<String> {
        let mut now = document();
        change(&mut now);
        let broken = broken(&list(&document()).unwrap(), &list(&now).unwrap());
        broken.iter().map(|line| line.lines().next().unwrap_or_default().to_owned()).collect()
    }

    #[test]
    fn every_public_item_is_listed_where_a_user_finds_it() {
        let listing = list(&document()).unwrap();
        let names: Vec<_> = listing.keys().map(String::as_str).collect();
        let whose = "{resolved_path={paint::Colour}}";
        let clone = format!("impl {{Clone}} for {whose}");
        assert_eq!(
            names,
            [
                clone.as_str(),
                "paint::Colour",
                "paint::Colour::Red",
                "paint::LIMIT",
                "paint::Tool",
                "paint::Tool::may",
                "paint::Tool::must",
                "paint::paint"
            ]
        );
    }

    #[test]
    fn an_item_that_goes_is_found() {
        assert_eq!(
            after(|now| now["index"]["0"]["inner"]["module"]["items"] = json!([2, 5, 8])),
            ["paint::paint is gone"]
        );
        assert_eq!(after(|now| now["index"]["1"]["visibility"] = json!("crate")), ["paint::paint is gone"]);
        let no_clone = after(|now| now["index"]["3"]["inner"]["enum"]["impls"] = json!([]));
        assert_eq!(no_clone, ["impl {Clone} for {resolved_path={paint::Colour}} is gone"]);
    }

    #[test]
    fn a_signature_that_changes_is_found() {
        let found = after(|now| {
            now["index"]["1"]["inner"]["function"]["sig"]["output"] = json!({ "primitive": "u8" });
        });
        assert_eq!(found, ["paint::paint has changed"]);
        let found =
            after(|now| now["index"]["8"]["inner"]["constant"]["type"] = json!({ "primitive": "u16" }));
        assert_eq!(found, ["paint::LIMIT has changed"]);
        let found = after(|now| now["index"]["7"]["inner"]["function"]["has_body"] = json!(false));
        assert_eq!(found, ["paint::Tool has changed"]);
    }

    #[test]
    fn a_new_variant_breaks_an_enum_that_can_be_matched_and_no_other() {
        let variants = json!([4, 10]);
        let found = after(|now| now["index"]["3"]["inner"]["enum"]["variants"] = variants.clone());
        assert_eq!(found, ["paint::Colour has changed"]);
        let mut base = document();
        base["index"]["3"]["attrs"] = json!(["non_exhaustive"]);
        let mut now = base.clone();
        now["index"]["3"]["inner"]["enum"]["variants"] = variants;
        assert_eq!(broken(&list(&base).unwrap(), &list(&now).unwrap()), Vec::<String>::new());
    }

    #[test]
    fn what_no_user_sees_may_change() {
        let nothing = Vec::<String>::new();
        let argument = "/index/1/inner/function/sig/inputs/0/0";
        assert_eq!(after(|now| *now.pointer_mut(argument).unwrap() = json!("tint")), nothing);
        assert_eq!(after(|now| now["paths"]["3"]["path"] = json!(["paint", "other", "Colour"])), nothing);
        assert_eq!(
            after(|now| now["index"]["8"]["inner"]["constant"]["const"]["expr"] = json!("8")),
            nothing
        );
        let more = json!([1, 2, 5, 8, 10]);
        assert_eq!(after(|now| now["index"]["0"]["inner"]["module"]["items"] = more), nothing);
    }
}
