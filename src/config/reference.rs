//! What the file format's own types say about it: the reference in docs/configuration.md, known names and examples.

use std::fmt::Write;
use std::path::Path;

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::file::v1::{Publisher, Rule, Spec};
use super::publisher::{DomainPattern, TsigHash};
use super::resolve_publisher::TIMEOUT;
use super::running::Config;
use super::source::Step;
use super::values::Period;

/// docs/configuration.md: a table per section with every setting, its type, default and meaning.
pub fn reference() -> String {
    let schema = schema();
    let defaults = defaults();
    let mut page = String::from(HEAD);
    for (name, section) in properties(&schema) {
        let element = element(section);
        let heading = match name.as_str() {
            "listener" | "publisher" | "rule" | "slots" => format!("`[[{name}]]`"),
            "domain" => "`[domain.\"example.com\"]`".to_owned(),
            "login" => "`[login.\"joe@example.com\"]`".to_owned(),
            name if element.is_some() => format!("`[{name}]`"),
            name => format!("`{name}`"),
        };
        let element = element.unwrap_or(section);
        // Writing to a String cannot fail.
        let _ = write!(page, "\n## {heading}\n\n{}\n", description(element));
        let settings: Vec<_> = properties(element).collect();
        if settings.is_empty() {
            continue;
        }
        page.push_str("\n| setting | type | default | meaning |\n| --- | --- | --- | --- |\n");
        for (setting, schema) in settings {
            let default = defaults.get(name.as_str()).and_then(|section| section.get(setting));
            let default = default.map_or_else(|| "none".to_owned(), |value| format!("`{value}`"));
            let _ = writeln!(
                page,
                "| `{setting}` | {} | {default} | {} |",
                kind(schema),
                description(schema).replace('|', "\\|")
            );
        }
    }
    page
}

const HEAD: &str = "<!-- Generated from src/config/file/v1.rs; do not edit. -->

# The configuration file

`waxseal.toml` is TOML. It must say `version = 1`; every other setting may be left out. `waxseal config check` reports
everything that is wrong with it at once, each with its line; `waxseal config show` prints what runs, defaults
included. `systemctl reload waxseald` (SIGHUP) makes a changed file take hold, except for settings marked \"A change
needs a restart\"; a file with errors changes nothing.

| type | written as |
| --- | --- |
| duration | `\"5s\"`, `\"100ms\"`, `\"1h 30m\"`, `\"5d\"` (days of 24 hours) |
| size | `\"64 KiB\"`, `\"1 MiB\"`, `\"500 kB\"` |
| network | `\"192.0.2.0/24\"`, `\"2001:db8::/32\"`, or one address |
| octal mode | `\"0660\"` |
| socket | `\"unix:/path\"`, `\"inet:8891@127.0.0.1\"`, `\"inet6:8891@::1\"`, `\"systemd\"` |

The sections and their settings, in alphabetical order:
";

/// The names that a table of the file may hold; none where it is no such table, or where names are free.
pub(super) fn known_keys(table: &[Step]) -> Option<Vec<String>> {
    let schema = schema();
    let known: Vec<String> = properties(find(&schema, table)?).map(|(name, _)| name.clone()).collect();
    (!known.is_empty()).then_some(known)
}

/// A right way to write a setting: its documented example, or its default.
pub(super) fn example(path: &[Step]) -> Option<String> {
    let name = path.iter().rev().find_map(|step| match step {
        Step::Key(key) => Some(key),
        Step::Index(_) => None,
    })?;
    let setting: Vec<Step> = path.iter().take_while(|step| *step != &Step::Key(name.clone())).cloned().collect();
    let setting: Vec<Step> = setting.into_iter().chain([Step::Key(name.clone())]).collect();
    let schema = schema();
    let documented = find(&schema, &setting).and_then(|schema| schema.get("examples")?.get(0));
    // JSON's strings, numbers and arrays of them are TOML's.
    if let Some(value) = documented {
        return Some(format!("{name} = {value}"));
    }
    let [Step::Key(section), Step::Key(name)] = setting.as_slice() else {
        return None;
    };
    defaults().get(section)?.get(name).map(|value| format!("{name} = {value}"))
}

/// What each setting is when it is left out, as TOML has it.
fn defaults() -> toml::Table {
    let mut spec = Config::default_in(Path::new("")).to_spec();
    spec.domain = None;
    let mut defaults = toml::Table::try_from(spec).unwrap_or_default();
    let rule = Rule { never: Some(false), ..Rule::default() };
    if let Ok(rule) = toml::Value::try_from(rule) {
        defaults.insert("rule".into(), rule);
    }
    let mode = super::running::Permissions::default().mode;
    let listener = toml::Table::from_iter([("mode".to_owned(), toml::Value::from(format!("{mode:04o}")))]);
    defaults.insert("listener".into(), listener.clone().into());
    defaults.insert("http".into(), listener.into());
    let publisher = Publisher {
        domains: Some(vec![DomainPattern::Any]),
        algorithm: Some(TsigHash::default()),
        timeout: Some(Period(TIMEOUT)),
        ..Publisher::default()
    };
    if let Ok(publisher) = toml::Value::try_from(publisher) {
        defaults.insert("publisher".into(), publisher);
    }
    defaults
}

fn schema() -> Value {
    SchemaSettings::draft2020_12()
        .with(|settings| settings.inline_subschemas = true)
        .into_generator()
        .into_root_schema_for::<Spec>()
        .to_value()
}

/// The schema of what stands at a path.
fn find<'s>(schema: &'s Value, path: &[Step]) -> Option<&'s Value> {
    let Some((step, rest)) = path.split_first() else {
        return Some(schema);
    };
    let inner = match step {
        Step::Key(key) => match schema.get("properties") {
            Some(properties) => properties.get(key)?,
            None => schema.get("additionalProperties")?,
        },
        Step::Index(_) => schema.get("items")?,
    };
    find(inner, rest)
}

/// The schema of one section, where a setting of the file's top is a section, a list of them or a table of them.
fn element(schema: &Value) -> Option<&Value> {
    let inner = [schema.get("items"), schema.get("additionalProperties"), Some(schema)];
    inner.into_iter().flatten().find(|schema| schema.get("properties").is_some())
}

fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema.get("properties").and_then(Value::as_object).into_iter().flatten()
}

/// The documentation, on one line.
fn description(schema: &Value) -> String {
    let text = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The type, as people call it.
fn kind(schema: &Value) -> String {
    if let Some(title) = schema.get("title").and_then(Value::as_str) {
        return title.to_owned();
    }
    if let Some(items) = schema.get("items") {
        return format!("list: {}", kind(items));
    }
    let mut choices = Vec::new();
    constants(schema, &mut choices);
    if !choices.is_empty() {
        return choices.iter().map(|choice| format!("`{choice}`")).collect::<Vec<_>>().join(", ");
    }
    let name = match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.first().and_then(Value::as_str),
        Some(kind) => kind.as_str(),
        None => None,
    };
    match name.unwrap_or_default() {
        "string" => "text".to_owned(),
        "integer" => "number".to_owned(),
        other => other.to_owned(),
    }
}

/// The values an enumeration may have.
fn constants<'s>(schema: &'s Value, found: &mut Vec<&'s Value>) {
    found.extend(schema.get("const"));
    found.extend(schema.get("enum").and_then(Value::as_array).into_iter().flatten().filter(|value| !value.is_null()));
    for inner in ["anyOf", "oneOf"] {
        for schema in schema.get(inner).and_then(Value::as_array).into_iter().flatten() {
            constants(schema, found);
        }
    }
}
