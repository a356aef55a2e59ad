//! The references of the two kinds: each field of spec and status, from the CustomResourceDefinitions.

use serde_json::Value;

use super::{escaped, keep, sentences, table};
use crate::api::crds;
use crate::docs::pages::slug;
use crate::world::in_checkout;

#[test]
fn the_references_of_the_kinds_are_up_to_date() {
    let examples = [
        ("athenasession.md", &["adopt.yaml", "start.yaml", "limits.yaml", "with-job.yaml"][..]),
        ("athenaworkgroup.md", &["tenants/work-group.yaml", "spark-3-5/work-group.yaml"][..]),
    ];
    for (crd, (page, examples)) in crds::all().iter().zip(examples) {
        let version = &crd["spec"]["versions"][0];
        let schema = &version["schema"]["openAPIV3Schema"];
        let of = |part: &str| described(part, &schema["properties"][part]);
        let whole = validations(schema, "").iter().map(|rule| format!("Rule: {rule}.\n\n")).collect::<String>();
        keep(
            page,
            &[
                ("kind", kind(&crd["spec"], schema)),
                ("columns", columns(version)),
                ("examples", examples.iter().map(|file| example(file)).collect()),
                ("spec", whole + &of("spec")),
                ("status", of("status")),
            ],
        );
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn kind(spec: &Value, schema: &Value) -> String {
    let names = &spec["names"];
    let version = format!("{}/{}", text(&spec["group"]), text(&spec["versions"][0]["name"]));
    let code = |value: &Value| format!("`{}`", text(value));
    let scope = if spec["scope"] == "Cluster" { "the cluster; it has no namespace" } else { "a namespace" };
    let rows = [
        ("apiVersion", format!("`{version}`")),
        ("kind", code(&names["kind"])),
        ("lives in", scope.to_owned()),
        ("names for kubectl", [&names["plural"], &names["singular"], &names["shortNames"][0]].map(code).join(", ")),
    ];
    let rows = rows.map(|(name, value)| [name.to_owned(), value]);
    format!("{}\n\n{}", escaped(text(&schema["description"])), table(["", ""], rows))
}

fn columns(version: &Value) -> String {
    let rows = version["additionalPrinterColumns"].as_array().into_iter().flatten().map(|column| {
        let wide = if column["priority"] == 1 { "`-o wide`" } else { "" };
        let meaning = column["description"].as_str().unwrap_or("how long ago the object was created");
        [format!("`{}`", text(&column["name"]).to_uppercase()), wide.to_owned(), escaped(meaning)]
    });
    table(["column", "only with", "meaning"], rows)
}

/// A manifest of deploy/examples/ without the comment at its top, which the file has.
fn example(file: &str) -> String {
    let manifest = std::fs::read_to_string(in_checkout(&format!("deploy/examples/{file}"))).unwrap();
    let objects: Vec<_> = manifest.lines().skip_while(|line| line.starts_with('#')).collect();
    let first = objects.split(|line| *line == "---").next().unwrap_or_default();
    format!("From [{file}](../../deploy/examples/{file}):\n\n```yaml\n{}\n```\n\n", first.join("\n").trim_end())
}

/// The tables of an object's fields, and of the objects within it.
fn described(path: &str, schema: &Value) -> String {
    let (required, fields) = (&schema["required"], schema["properties"].as_object().unwrap());
    let (description, _) = meaning_and_default(schema);
    let rows = fields.iter().map(|(name, field)| {
        let mut rules = Vec::new();
        if required.as_array().into_iter().flatten().any(|it| it == name) {
            rules.push("required".to_owned());
        }
        rules.extend(bounds(field));
        if inner(path, name, field).is_none() {
            rules.extend(validations(field, ""));
        }
        rules.extend(validations(schema, name));
        let (meaning, default) = meaning_and_default(field);
        [format!("`{name}`"), type_of(path, name, field), meaning, default, sentences(&rules)]
    });
    let mut page = format!("{description}\n\n{}\n", table(["field", "type", "meaning", "default", "rules"], rows));
    let rules: String = validations(schema, "").iter().map(|rule| format!("- {rule}\n")).collect();
    if !rules.is_empty() {
        page += &format!("Rules for several fields:\n\n{rules}");
    }
    for (name, field) in fields {
        if let Some((path, object)) = inner(path, name, field) {
            page += &format!("\n### `{path}`\n\n{}", described(&path, object));
        }
    }
    page
}

/// The object in a field that has a table of its own, and its path.
fn inner<'a>(path: &str, name: &str, field: &'a Value) -> Option<(String, &'a Value)> {
    let has_fields = |schema: &Value| schema["properties"].is_object();
    let path = format!("{path}.{name}");
    if has_fields(field) {
        Some((path, field))
    } else if has_fields(&field["items"]) {
        Some((format!("{path}[]"), &field["items"]))
    } else {
        has_fields(&field["additionalProperties"]).then(|| (format!("{path}.*"), &field["additionalProperties"]))
    }
}

fn type_of(path: &str, name: &str, field: &Value) -> String {
    let object = inner(path, name, field).map(|(path, _)| format!("[object](#{})", slug(&path)));
    simple_type(field, &object.unwrap_or_else(|| "object".to_owned()))
}

fn simple_type(field: &Value, object: &str) -> String {
    match text(&field["type"]) {
        "string" if field["format"] == "date-time" => "time".to_owned(),
        "array" => format!("list: {}", simple_type(&field["items"], object)),
        "object" if field["additionalProperties"].is_object() => {
            format!("map: {}", simple_type(&field["additionalProperties"], object))
        }
        "object" => object.to_owned(),
        word => word.to_owned(),
    }
}

/// The description without its last sentence, where that names the default.
fn meaning_and_default(field: &Value) -> (String, String) {
    const DEFAULT: &str = " Default: ";
    let description = text(&field["description"]);
    let (meaning, said) = description.rsplit_once(DEFAULT).unwrap_or((description, ""));
    let default = match &field["default"] {
        Value::Null => escaped(said.trim_end_matches('.')),
        Value::String(word) => format!("`{word}`"),
        value => format!("`{value}`"),
    };
    (escaped(meaning), default)
}

/// The sentences of the rules that concern this field of the object; with an empty name, those of the value as a whole.
fn validations(schema: &Value, field: &str) -> Vec<String> {
    let rules = schema["x-kubernetes-validations"].as_array().into_iter().flatten();
    let concerns = |rule: &&Value| {
        let path = text(&rule["fieldPath"]).trim_start_matches('.');
        path.split('.').next().unwrap_or_default() == field
    };
    rules.filter(concerns).map(|rule| escaped(text(&rule["message"]))).collect()
}

fn bounds(field: &Value) -> Vec<String> {
    let mut bounds = Vec::new();
    if let Some(words) = field["enum"].as_array() {
        let words: Vec<_> = words.iter().map(|word| format!("`{}`", text(word))).collect();
        bounds.push(format!("one of {}", words.join(", ")));
    }
    for (least, most, what) in [
        ("minimum", "maximum", ""),
        ("minLength", "maxLength", " characters"),
        ("minItems", "maxItems", " entries"),
        ("minProperties", "maxProperties", " entries"),
    ] {
        match (field[least].as_f64(), field[most].as_f64()) {
            (Some(least), Some(most)) if least == most => bounds.push(format!("{least}{what}")),
            (Some(least), Some(most)) => bounds.push(format!("{least} to {most}{what}")),
            (Some(least), None) => bounds.push(format!("{least}{what} or more")),
            (None, Some(most)) => bounds.push(format!("up to {most}{what}")),
            (None, None) => {}
        }
    }
    if let Some(keys) = field["x-kubernetes-list-map-keys"].as_array() {
        let keys: Vec<_> = keys.iter().map(|key| format!("`{}`", text(key))).collect();
        bounds.push(format!("each {} once", keys.join(" and ")));
    }
    bounds
}
