//! Every option of every stage: defaults, preset and quality, then what the
//! person set.

use crate::error::PipelineError;
use relievo_task::{OptionRow, OptionTable};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::any::type_name;

/// One option struct of a stage, as JSON.
#[derive(Clone, Debug)]
struct Table {
    type_name: &'static str,
    rows: Vec<OptionRow>,
    value: Value,
    reads: fn(&Value) -> Result<(), String>,
}

/// The options that one stage reads; names are unique within the stage.
#[derive(Clone, Debug, Default)]
pub struct StageOptions {
    tables: Vec<Table>,
}

impl StageOptions {
    /// Adds a struct with its defaults.
    #[must_use]
    pub fn with<T: OptionTable + Default + Serialize + DeserializeOwned>(mut self) -> Self {
        let value = serde_json::to_value(T::default()).unwrap_or(Value::Null);
        let reads = |v: &Value| {
            serde_json::from_value::<T>(v.clone())
                .map(|_| ())
                .map_err(|e| e.to_string())
        };
        self.tables.push(Table {
            type_name: type_name::<T>(),
            rows: T::rows(),
            value,
            reads,
        });
        self
    }

    /// The struct with its resolved values.
    pub fn get<T: OptionTable + Default + DeserializeOwned>(&self) -> T {
        self.tables
            .iter()
            .find(|t| t.type_name == type_name::<T>())
            .and_then(|t| serde_json::from_value(t.value.clone()).ok())
            .unwrap_or_default()
    }

    /// Sets one option by name; the value must read as the option's type.
    pub fn set(&mut self, stage: &str, name: &str, value: Value) -> Result<(), PipelineError> {
        let full = format!("{stage}.{name}");
        let table = self
            .tables
            .iter_mut()
            .find(|t| t.rows.iter().any(|r| r.name == name))
            .ok_or_else(|| PipelineError::Option {
                name: full.clone(),
                what: format!("stage {stage} has no such option"),
            })?;
        let mut changed = table.value.clone();
        changed[name] = value;
        (table.reads)(&changed).map_err(|what| PipelineError::Option { name: full, what })?;
        table.value = changed;
        Ok(())
    }

    /// Rows for `relievo options`.
    pub fn rows(&self) -> impl Iterator<Item = &OptionRow> {
        self.tables.iter().flat_map(|t| &t.rows)
    }

    /// Every resolved value, for the key of an item.
    pub fn to_json(&self) -> Value {
        let mut all = serde_json::Map::new();
        for table in &self.tables {
            if let Value::Object(map) = &table.value {
                all.extend(map.clone());
            }
        }
        Value::Object(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    relievo_task::options! {
        /// Toy.
        pub struct Toy {
            /// A count.
            count: usize = 3, "items", "test";
            /// A word.
            word: String = "a".to_owned(), "", "test";
        }
    }

    #[test]
    fn a_set_option_is_read_back_and_a_wrong_one_refused() {
        let mut options = StageOptions::default().with::<Toy>();
        options.set("toy", "count", Value::from(5)).unwrap();
        assert_eq!(options.get::<Toy>().count, 5);
        assert!(options.set("toy", "count", Value::from("x")).is_err());
        assert!(options.set("toy", "nothing", Value::from(1)).is_err());
        assert_eq!(options.to_json()["word"], "a");
    }
}
