//! A stale item that keeps part of what it made before.

#![allow(clippy::unwrap_used, reason = "functions that tests share")]

mod toy;

use relievo_engine::*;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use toy::run_plan;

/// One item a word: its pairs with the words after it, a line each.
#[derive(Clone, Default)]
struct Pairs {
    words: Vec<&'static str>,
    version: u32,
    option: u32,
    /// Lines that were made and not kept.
    made: Arc<AtomicUsize>,
    /// The item that fails.
    fails: Option<&'static str>,
    seen: Arc<Mutex<Vec<String>>>,
}

fn file(item: &str) -> String {
    file_name(item, ".pairs")
}

impl Stage for Pairs {
    fn name(&self) -> &'static str {
        "pairs"
    }
    fn version(&self) -> u32 {
        self.version
    }
    fn depends_on(&self) -> &[&'static str] {
        &[]
    }
    fn options(&self, _: &StageContext) -> Result<Value, BoxError> {
        Ok(json!({ "option": self.option }))
    }
    fn parallelism(&self, _: &StageContext, _: u32) -> Parallelism {
        Parallelism::OneAtATime { memory_bytes: 1 }
    }
    fn items(&self, ctx: &StageContext, _: u32) -> Result<Vec<Item>, BoxError> {
        let items = (0..self.words.len()).map(|i| {
            let key = self.words[i..]
                .iter()
                .fold(ctx.key(), |k, w| k.input(*w, digest_bytes(w.as_bytes())));
            Item::new(self.words[i], key.finish())
        });
        Ok(items.collect())
    }
    fn run_item(
        &self,
        ctx: &StageContext,
        item: &Item,
        out: &mut ItemWriter,
    ) -> Result<(), BoxError> {
        self.seen.lock().unwrap().push(item.name.clone());
        if self.fails == Some(&*item.name) {
            return Err("it fails".into());
        }
        let previous = ctx.previous(item);
        let old = previous
            .as_ref()
            .and_then(|p| p.read(&file(&item.name)))
            .map(|b| String::from_utf8(b).unwrap());
        let mut text = String::new();
        for other in item.key.inputs.keys().filter(|n| **n != item.name) {
            let line = format!("{} {other} {} {}\n", item.name, self.version, self.option);
            let kept = match (&old, &previous) {
                (Some(old), Some(p)) => p.key.inputs.contains_key(other) && old.contains(&line),
                _ => false,
            };
            if !kept {
                self.made.fetch_add(1, Ordering::Relaxed);
            }
            text += &line;
        }
        out.write(&file(&item.name), text.as_bytes())?;
        Ok(())
    }
}

/// Lines made by a run.
fn run(stage: &Pairs, dir: &Path) -> Result<usize, EngineError> {
    stage.made.store(0, Ordering::Relaxed);
    run_plan(vec![Box::new(stage.clone())], dir, &Selection::default())?;
    Ok(stage.made.load(Ordering::Relaxed))
}

fn text(dir: &Path, item: &str) -> String {
    fs_err::read_to_string(dir.join("pairs").join(file(item))).unwrap()
}

#[test]
fn a_stale_item_may_keep_what_the_same_stage_wrote() {
    let dir = tempfile::tempdir().unwrap();
    let (grown, fresh) = (dir.path().join("grown"), dir.path().join("fresh"));
    let few = Pairs {
        words: vec!["a", "c", "d"],
        ..Pairs::default()
    };
    let all = Pairs {
        words: vec!["a", "b", "c", "d", "e"],
        ..Pairs::default()
    };
    assert_eq!(run(&few, &grown).unwrap(), 3);
    assert_eq!(run(&all, &grown).unwrap(), 10 - 3);
    assert_eq!(run(&all, &fresh).unwrap(), 10);
    for word in &all.words {
        assert_eq!(text(&grown, word), text(&fresh, word));
    }
    // Another version or other options: nothing is handed over.
    let other = Pairs {
        option: 1,
        ..all.clone()
    };
    assert_eq!(run(&other, &grown).unwrap(), 10);
    assert!(!text(&grown, "a").contains("0\n"));
    let newer = Pairs {
        version: 2,
        ..other
    };
    assert_eq!(run(&newer, &grown).unwrap(), 10);
}

#[test]
fn damaged_bytes_are_not_handed_over() {
    let dir = tempfile::tempdir().unwrap();
    let few = Pairs {
        words: vec!["a", "c", "d"],
        ..Pairs::default()
    };
    run(&few, dir.path()).unwrap();
    let path = dir.path().join("pairs").join(file("a"));
    let mut bytes = fs_err::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] = b' ';
    fs_err::write(&path, bytes).unwrap();
    let all = Pairs {
        words: vec!["a", "c", "d", "e"],
        ..Pairs::default()
    };
    // The three of `a` are made again; `c d` is kept.
    assert_eq!(run(&all, dir.path()).unwrap(), 3 + 2);
    assert!(text(dir.path(), "a").ends_with('\n'));
}

#[test]
fn items_of_a_broken_run_with_other_options_are_not_mixed_in() {
    let dir = tempfile::tempdir().unwrap();
    let words = vec!["a", "b", "c", "d"];
    let first = Pairs {
        words: words.clone(),
        ..Pairs::default()
    };
    run(&first, dir.path()).unwrap();
    // Two items are made with the other option, then it breaks off.
    let broken = Pairs {
        words: words.clone(),
        option: 1,
        fails: Some("c"),
        ..Pairs::default()
    };
    run(&broken, dir.path()).unwrap_err();
    assert_eq!(*broken.seen.lock().unwrap(), ["a", "b", "c"]);
    // One word more, first option: `a` and `b` carry the other option now.
    let mut more = words;
    more.push("e");
    let last = Pairs {
        words: more,
        ..Pairs::default()
    };
    assert_eq!(run(&last, dir.path()).unwrap(), 4 + 3 + 1 + 1);
    assert!(!text(dir.path(), "a").contains("1\n"));
}
