//! Reads the domain's source: which enums are events, in which version, and what their JSON looks like.
//!
//! It knows the parts of Rust and of serde that the domain uses, and panics on any other: then it is to be taught.

use export::registry::EventSchema;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use syn::parse::ParseStream;
use syn::{Attribute, Expr, Fields, GenericArgument, ImplItem, Item, Lit, PathArguments, Type};

/// Everything in the domain that has a name.
#[derive(Default)]
struct Source {
    structs: BTreeMap<String, syn::ItemStruct>,
    enums: BTreeMap<String, syn::ItemEnum>,
    aliases: BTreeMap<String, syn::ItemType>,
    /// Types that are made by a macro, with their schema.
    made: BTreeMap<String, Value>,
    /// The texts of constants.
    constants: BTreeMap<String, String>,
    /// Aggregate type (or the constant that names it) by event enum.
    deciders: BTreeMap<String, String>,
    /// Versions by event enum; by variant where they differ.
    versions: BTreeMap<String, Versions>,
}

enum Versions {
    All(String),
    Each(BTreeMap<String, String>, Option<String>),
}

/// The events that the code writes today.
pub fn events_in_code() -> Vec<EventSchema> {
    let mut source = Source::default();
    for path in rust_files(&Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("domain/src")) {
        let text = std::fs::read_to_string(&path).unwrap();
        let file = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        file.items.into_iter().for_each(|item| source.take(item));
    }
    let mut events = Vec::new();
    for (name, aggregate) in &source.deciders {
        let aggregate_type = source.constants.get(aggregate).unwrap_or(aggregate).clone();
        let of = source.enums.get(name).unwrap_or_else(|| panic!("{name} is an enum"));
        for variant in &of.variants {
            let event_type = variant.ident.to_string();
            let event_version = source.versions[name].of(&event_type);
            let payload = source.variant(&event_type, &variant.fields, &[name.as_str()]);
            events.push(EventSchema {
                aggregate_type: aggregate_type.clone(),
                event_type,
                event_version,
                current: true,
                upcasts_to: None,
                payload,
            });
        }
    }
    assert!(events.len() > 60, "only {} events were found", events.len());
    events
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

impl Versions {
    fn of(&self, variant: &str) -> String {
        match self {
            Self::All(version) => version.clone(),
            Self::Each(some, rest) => {
                let version = some.get(variant).or(rest.as_ref());
                version.unwrap_or_else(|| panic!("{variant} has a version")).clone()
            }
        }
    }

    /// `"1".to_owned()`, or a match over variants whose arms are that.
    fn read(block: &syn::Block) -> Self {
        let [syn::Stmt::Expr(value, None)] = block.stmts.as_slice() else { panic!("event_version is one expression") };
        let Expr::Match(choice) = value else { return Self::All(text_of(value)) };
        let (mut some, mut rest) = (BTreeMap::new(), None);
        for arm in &choice.arms {
            match variants_of(&arm.pat) {
                Some(variants) => some.extend(variants.into_iter().map(|variant| (variant, text_of(&arm.body)))),
                None => rest = Some(text_of(&arm.body)),
            }
        }
        Self::Each(some, rest)
    }
}

fn text_of(value: &Expr) -> String {
    match value {
        Expr::MethodCall(call) => text_of(&call.receiver),
        Expr::Lit(literal) => match &literal.lit {
            Lit::Str(text) => text.value(),
            _ => panic!("a version is a text"),
        },
        _ => panic!("a version is written as a text"),
    }
}

fn variants_of(pattern: &syn::Pat) -> Option<Vec<String>> {
    let last = |path: &syn::Path| path.segments.last().unwrap().ident.to_string();
    match pattern {
        syn::Pat::Struct(one) => Some(vec![last(&one.path)]),
        syn::Pat::TupleStruct(one) => Some(vec![last(&one.path)]),
        syn::Pat::Path(one) => Some(vec![last(&one.path)]),
        syn::Pat::Or(many) => many.cases.iter().map(variants_of).collect::<Option<Vec<_>>>().map(|all| all.concat()),
        syn::Pat::Wild(_) => None,
        _ => panic!("event_version matches on variants"),
    }
}

/// What serde is told about a container or a field.
#[derive(Default)]
struct Serde {
    words: BTreeMap<String, Option<String>>,
}

impl Serde {
    fn read(attributes: &[Attribute]) -> Self {
        let mut words = BTreeMap::new();
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("serde")) {
            let read = attribute.parse_nested_meta(|meta| {
                let name = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
                let value = match meta.value() {
                    Ok(value) => Some(value.parse::<syn::LitStr>()?.value()),
                    Err(_) => None,
                };
                words.insert(name, value);
                Ok(())
            });
            read.unwrap_or_else(|error| panic!("a serde attribute: {error}"));
        }
        let known = [
            "rename_all",
            "default",
            "skip_serializing_if",
            "deny_unknown_fields",
            "transparent",
            "try_from",
            "into",
            "tag",
            "content",
            "bound",
            "rename",
            "untagged",
        ];
        for word in words.keys() {
            assert!(known.contains(&word.as_str()), "serde({word}) is to be taught to this reader");
        }
        Self { words }
    }

    fn text(&self, word: &str) -> Option<&str> {
        self.words.get(word).and_then(Option::as_deref)
    }

    fn renamed(&self, name: &str, of: Option<&str>) -> String {
        match (self.text("rename"), of) {
            (Some(name), _) => name.to_owned(),
            (None, None) => name.to_owned(),
            (None, Some("snake_case")) => separated(name, '_'),
            (None, Some("kebab-case")) => separated(name, '-'),
            (None, Some(other)) => panic!("rename_all = {other:?} is to be taught to this reader"),
        }
    }
}

/// `OutputOf` and `output_of` as `output-of`.
fn separated(name: &str, by: char) -> String {
    let mut out = String::new();
    for (index, character) in name.chars().enumerate() {
        if character.is_uppercase() && index > 0 {
            out.push(by);
        }
        if character == '_' {
            out.push(by);
        } else {
            out.extend(character.to_lowercase());
        }
    }
    out
}

impl Source {
    fn take(&mut self, item: Item) {
        match item {
            Item::Struct(one) => {
                self.structs.entry(one.ident.to_string()).or_insert(one);
            }
            Item::Enum(one) => {
                self.enums.entry(one.ident.to_string()).or_insert(one);
            }
            Item::Type(one) => {
                self.aliases.entry(one.ident.to_string()).or_insert(one);
            }
            Item::Const(one) => {
                if let Expr::Lit(literal) = &*one.expr
                    && let Lit::Str(text) = &literal.lit
                {
                    self.constants.insert(one.ident.to_string(), text.value());
                }
            }
            Item::Macro(one) => self.take_macro(&one.mac),
            Item::Impl(one) => self.take_impl(&one),
            _ => {}
        }
    }

    fn take_macro(&mut self, one: &syn::Macro) {
        let schema = match one.path.segments.last().unwrap().ident.to_string().as_str() {
            "uuid_id" => json!({ "type": "string", "format": "uuid" }),
            "text_name" => json!({ "type": "string" }),
            _ => return,
        };
        let named = one.parse_body_with(|input: ParseStream| {
            input.call(Attribute::parse_outer)?;
            let name: syn::Ident = input.parse()?;
            let _rest: proc_macro2::TokenStream = input.parse()?;
            Ok(name.to_string())
        });
        self.made.insert(named.unwrap_or_else(|error| panic!("a macro that makes a type: {error}")), schema);
    }

    fn take_impl(&mut self, one: &syn::ItemImpl) {
        let Some((_, path, _)) = &one.trait_ else { return };
        let of = path.segments.last().unwrap().ident.to_string();
        match of.as_str() {
            "Decider" => {
                let (mut event, mut kind) = (None, None);
                for item in &one.items {
                    match item {
                        ImplItem::Type(named) if named.ident == "Event" => event = Some(last_name(&named.ty)),
                        ImplItem::Const(named) if named.ident == "TYPE" => {
                            kind = Some(match &named.expr {
                                Expr::Path(path) => path.path.segments.last().unwrap().ident.to_string(),
                                other => text_of(other),
                            });
                        }
                        _ => {}
                    }
                }
                self.deciders.insert(event.unwrap(), kind.unwrap());
            }
            "DomainEvent" => {
                for item in &one.items {
                    if let ImplItem::Fn(function) = item
                        && function.sig.ident == "event_version"
                    {
                        self.versions.insert(last_name(&one.self_ty), Versions::read(&function.block));
                    }
                }
            }
            "Serialize" => panic!("{} serialises by hand: to be taught to this reader", last_name(&one.self_ty)),
            _ => {}
        }
    }

    fn variant(&self, name: &str, fields: &Fields, within: &[&str]) -> Value {
        match fields {
            Fields::Unit => json!({ "const": name }),
            _ => json!({
                "type": "object",
                "properties": { name: self.fields(fields, None, within) },
                "required": [name],
            }),
        }
    }

    fn fields(&self, fields: &Fields, rename_all: Option<&str>, within: &[&str]) -> Value {
        match fields {
            Fields::Unit => json!({ "type": "null" }),
            Fields::Unnamed(tuple) if tuple.unnamed.len() == 1 => self.schema(&tuple.unnamed[0].ty, within),
            Fields::Unnamed(tuple) => {
                let items: Vec<Value> = tuple.unnamed.iter().map(|field| self.schema(&field.ty, within)).collect();
                json!({ "type": "array", "prefixItems": items })
            }
            Fields::Named(named) => {
                let (mut properties, mut required) = (Map::new(), Vec::new());
                for field in &named.named {
                    let told = Serde::read(&field.attrs);
                    let name = told.renamed(&field.ident.as_ref().unwrap().to_string(), rename_all);
                    if told.text("skip_serializing_if").is_none() {
                        required.push(Value::from(name.clone()));
                    }
                    properties.insert(name, self.schema(&field.ty, within));
                }
                json!({ "type": "object", "properties": properties, "required": required })
            }
        }
    }

    fn schema(&self, of: &Type, within: &[&str]) -> Value {
        match of {
            Type::Path(path) => {
                let segment = path.path.segments.last().unwrap();
                let inner: Vec<&Type> = match &segment.arguments {
                    PathArguments::AngleBracketed(some) => some
                        .args
                        .iter()
                        .filter_map(|one| if let GenericArgument::Type(one) = one { Some(one) } else { None })
                        .collect(),
                    _ => Vec::new(),
                };
                self.named(&segment.ident.to_string(), &inner, within)
            }
            Type::Reference(to) => self.schema(&to.elem, within),
            Type::Array(many) => json!({ "type": "array", "items": self.schema(&many.elem, within) }),
            Type::Tuple(many) => {
                let items: Vec<Value> = many.elems.iter().map(|one| self.schema(one, within)).collect();
                json!({ "type": "array", "prefixItems": items })
            }
            _ => panic!("a kind of type that is to be taught to this reader"),
        }
    }

    fn named(&self, name: &str, inner: &[&Type], within: &[&str]) -> Value {
        match (name, inner) {
            ("String" | "str", []) => json!({ "type": "string" }),
            ("Uuid", []) => json!({ "type": "string", "format": "uuid" }),
            ("DateTime", _) => json!({ "type": "string", "format": "date-time" }),
            ("NaiveDate", []) => json!({ "type": "string", "format": "date" }),
            ("bool", []) => json!({ "type": "boolean" }),
            ("u8" | "u16" | "u32" | "u64" | "usize" | "i8" | "i16" | "i32" | "i64", []) => json!({ "type": "integer" }),
            ("f32" | "f64", []) => json!({ "type": "number" }),
            ("Value", []) => json!({}),
            ("Option", [one]) => json!({ "anyOf": [self.schema(one, within), { "type": "null" }] }),
            ("Box" | "Arc" | "Rc", [one]) => self.schema(one, within),
            ("Vec" | "BTreeSet" | "HashSet" | "VecDeque", [one]) => {
                json!({ "type": "array", "items": self.schema(one, within) })
            }
            ("BTreeMap" | "HashMap", [_, value]) => {
                json!({ "type": "object", "additionalProperties": self.schema(value, within) })
            }
            _ if within.contains(&name) => json!({ "$comment": format!("again a {name}") }),
            _ => self.ours(name, &[within, &[name]].concat()),
        }
    }

    fn ours(&self, name: &str, within: &[&str]) -> Value {
        if let Some(schema) = self.made.get(name) {
            return schema.clone();
        }
        if let Some(one) = self.aliases.get(name) {
            return self.schema(&one.ty, within);
        }
        if let Some(one) = self.structs.get(name) {
            let told = Serde::read(&one.attrs);
            return match told.text("into") {
                Some(into) => self.named(into, &[], within),
                None => self.fields(&one.fields, told.text("rename_all"), within),
            };
        }
        let one = self.enums.get(name).unwrap_or_else(|| panic!("{name} is to be taught to this reader"));
        let told = Serde::read(&one.attrs);
        if let Some(into) = told.text("into") {
            return self.named(into, &[], within);
        }
        self.choice(one, &told, within)
    }

    fn choice(&self, one: &syn::ItemEnum, told: &Serde, within: &[&str]) -> Value {
        let rename_all = told.text("rename_all");
        let named = one.variants.iter().map(|variant| {
            (Serde::read(&variant.attrs).renamed(&variant.ident.to_string(), rename_all), &variant.fields)
        });
        let named: Vec<(String, &Fields)> = named.collect();
        if told.words.contains_key("untagged") {
            let choices: Vec<Value> = named.iter().map(|(_, fields)| self.fields(fields, None, within)).collect();
            return json!({ "anyOf": choices });
        }
        if let Some(tag) = told.text("tag") {
            let choices: Vec<Value> = named
                .iter()
                .map(|(name, fields)| self.tagged(tag, told.text("content"), name, fields, within))
                .collect();
            return json!({ "anyOf": choices });
        }
        if named.iter().all(|(_, fields)| matches!(fields, Fields::Unit)) {
            return json!({ "enum": named.iter().map(|(name, _)| name).collect::<Vec<_>>() });
        }
        json!({ "anyOf": named.iter().map(|(name, fields)| self.variant(name, fields, within)).collect::<Vec<_>>() })
    }

    fn tagged(&self, tag: &str, content: Option<&str>, name: &str, fields: &Fields, within: &[&str]) -> Value {
        let mut schema = match (content, fields) {
            (_, Fields::Unit) => json!({ "type": "object", "properties": {}, "required": [] }),
            (Some(content), _) => json!({
                "type": "object",
                "properties": { content: self.fields(fields, None, within) },
                "required": [content],
            }),
            (None, _) => self.fields(fields, None, within),
        };
        schema["properties"][tag] = json!({ "const": name });
        schema["required"].as_array_mut().unwrap().push(tag.into());
        schema
    }
}

fn last_name(of: &Type) -> String {
    match of {
        Type::Path(path) => path.path.segments.last().unwrap().ident.to_string(),
        _ => panic!("a type with a name"),
    }
}
