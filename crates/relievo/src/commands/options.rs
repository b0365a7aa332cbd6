//! `relievo options`.

use crate::{Done, Failure};
use relievo_pipeline::{PipelineError, catalog};

pub(crate) fn options(stage: Option<&str>, json: bool) -> Result<Done, Failure> {
    if let Some(stage) = stage
        && !catalog::STAGES.contains(&stage)
    {
        return Err(PipelineError::Option {
            name: stage.to_owned(),
            what: format!("stages are {}", catalog::STAGES.join(", ")),
        }
        .into());
    }
    let wanted = |s: &&str| stage.is_none_or(|w| w == *s);
    if json {
        let all: serde_json::Map<String, serde_json::Value> = catalog::STAGES
            .into_iter()
            .filter(wanted)
            .map(|s| {
                let rows: Vec<_> = catalog::defaults(s).rows().cloned().collect();
                (s.to_owned(), serde_json::json!(rows))
            })
            .collect();
        println!("{}", serde_json::Value::Object(all));
        return Ok(Done::Whole);
    }
    for s in catalog::STAGES.into_iter().filter(wanted) {
        for row in catalog::defaults(s).rows() {
            let unit = if row.unit.is_empty() {
                String::new()
            } else {
                format!(" {}", row.unit)
            };
            println!("{s}.{} = {}{unit}", row.name, row.default);
            println!("    {}", row.meaning);
            println!("    default from: {}", row.source);
        }
    }
    Ok(Done::Whole)
}
