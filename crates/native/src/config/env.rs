//! Environment variables that override keys: `ISOVEC__REDIS_HOT__ADDR` is `redis_hot.addr`.

use std::ffi::OsString;

use super::report::Report;
use super::yaml::{Node, Origin, Section, Value};

const PREFIX: &str = "ISOVEC__";

/// Puts what the variables say in the place of what `root` says. A name that is no key's is found where the
/// settings are read, as in a file.
pub(super) fn apply(
    root: &mut Section,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    report: &mut Report,
) {
    let mut given: Vec<_> = variables
        .into_iter()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .filter(|(name, _)| name.starts_with("ISOVEC_") && name.contains("__"))
        .collect();
    // So that the report is the same whatever the order of the environment.
    given.sort();
    for (name, value) in given {
        if let Err(problem) = override_key(root, &name, value) {
            report.add(name, problem);
        }
    }
}

fn override_key(root: &mut Section, variable: &str, value: OsString) -> Result<(), String> {
    let Some(keys) = variable.strip_prefix(PREFIX) else {
        return Err(format!("expected two underscores after ISOVEC: {}", corrected(variable)));
    };
    let Ok(value) = value.into_string() else {
        return Err("its value is not UTF-8".to_owned());
    };
    let origin = Origin::Variable(variable.to_owned());
    let keys: Vec<_> = keys.split("__").map(str::to_ascii_lowercase).collect();
    let Some((key, path)) = keys.split_last() else { return Ok(()) };
    if keys.iter().any(String::is_empty) {
        return Err(format!("expected {PREFIX}SECTION__KEY"));
    }
    let mut section = root;
    for (depth, name) in path.iter().enumerate() {
        // A misspelled name must not make a model of its own.
        let name = match path.first() {
            Some(first) if first == "models" && depth == 1 => {
                let known = section.keys().find(|known| known.to_ascii_lowercase() == *name);
                known.cloned().ok_or_else(|| {
                    format!("the file has no model {name}; the environment cannot add one")
                })?
            }
            _ => name.clone(),
        };
        let node = section
            .entry(name)
            .or_insert_with(|| Node { value: Value::Nothing, origin: origin.clone() });
        if matches!(node.value, Value::Nothing) {
            node.value = Value::Section(Section::new());
        }
        section = match &mut node.value {
            Value::Section(section) => section,
            // Something else stands where a section belongs, which is reported when it is read.
            _ => return Ok(()),
        };
    }
    section.insert(key.clone(), Node { value: Value::Untyped(value), origin });
    Ok(())
}

/// `ISOVEC_SERVER__LISTEN` was meant to be `ISOVEC__SERVER__LISTEN`.
fn corrected(variable: &str) -> String {
    let name = variable.strip_prefix("ISOVEC_").unwrap_or(variable);
    format!("{PREFIX}{}", name.trim_start_matches('_'))
}
