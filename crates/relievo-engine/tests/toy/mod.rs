//! A toy plan: words -> blur (two passes over neighbours) -> book, and words
//! -> shout. Every behaviour of the engine shows on it within milliseconds.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]

use relievo_engine::*;
use relievo_task::Warning;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What the person gives, and what a test watches.
#[derive(Clone, Default)]
pub struct Toy {
    pub words: BTreeMap<String, String>,
    pub shift: u32,
    pub loud: bool,
    pub version: u32,
    /// Items that ran, as `stage/item`.
    pub ran: Arc<Mutex<Vec<String>>>,
    /// Pause within each item.
    pub pause: Duration,
    /// The item that fails, as `stage/item`.
    pub fails: Option<String>,
    /// Memory that an item of `words` claims.
    pub memory: u64,
    /// Items in flight, and the most there were.
    pub flight: Arc<(AtomicUsize, AtomicUsize)>,
}

impl Toy {
    pub fn new(n: usize) -> Self {
        let words = (0..n)
            .map(|i| (format!("dir/w{i:03}"), "abcdefghij".repeat(i % 7 + 1)))
            .collect();
        Self {
            words,
            shift: 1,
            version: 1,
            ..Self::default()
        }
    }

    pub fn plan(&self) -> Vec<Box<dyn Stage>> {
        vec![
            Box::new(Words(self.clone())),
            Box::new(Blur(self.clone())),
            Box::new(Shout(self.clone())),
            Box::new(Book(self.clone())),
        ]
    }

    pub fn take_ran(&self) -> Vec<String> {
        let mut ran = std::mem::take(&mut *self.ran.lock().unwrap());
        ran.sort();
        ran
    }

    fn note(&self, stage: &str, item: &str) -> Result<(), BoxError> {
        let name = format!("{stage}/{item}");
        let now = self.flight.0.fetch_add(1, Ordering::SeqCst) + 1;
        self.flight.1.fetch_max(now, Ordering::SeqCst);
        std::thread::sleep(self.pause);
        self.flight.0.fetch_sub(1, Ordering::SeqCst);
        self.ran.lock().unwrap().push(name.clone());
        if self.fails.as_ref() == Some(&name) {
            return Err("the toy broke".into());
        }
        Ok(())
    }
}

/// Shifts each word's letters; one file an item, in a sub-folder.
struct Words(Toy);

impl Stage for Words {
    fn name(&self) -> &'static str {
        "words"
    }
    fn version(&self) -> u32 {
        self.0.version
    }
    fn depends_on(&self) -> &[&'static str] {
        &[]
    }
    fn options(&self, _: &StageContext) -> Result<Value, BoxError> {
        Ok(json!({ "shift": self.0.shift }))
    }
    fn items(&self, ctx: &StageContext, _: u32) -> Result<Vec<Item>, BoxError> {
        let words = self.0.words.iter();
        Ok(words
            .map(|(name, word)| {
                let key = ctx
                    .key()
                    .input(name, digest_bytes(word.as_bytes()))
                    .finish();
                Item::new(name, key).with_weight(word.len() as u64)
            })
            .collect())
    }
    fn parallelism(&self, _: &StageContext, _: u32) -> Parallelism {
        Parallelism::Parallel {
            memory_bytes_per_item: self.0.memory,
        }
    }
    fn run_item(
        &self,
        ctx: &StageContext,
        item: &Item,
        out: &mut ItemWriter,
    ) -> Result<(), BoxError> {
        self.0.note("words", &item.name)?;
        let word = &self.0.words[&item.name];
        if word.starts_with('?') {
            ctx.task()
                .warn(Warning::new("odd-word", &item.name, "starts oddly", ""));
        }
        let shifted: Vec<u8> = word
            .bytes()
            .map(|b| b.wrapping_add(self.0.shift as u8))
            .collect();
        out.write(
            &format!("texts/{}", file_name(&item.name, ".txt")),
            &shifted,
        )?;
        Ok(())
    }
    fn finish(&self, ctx: &StageContext, out: &mut ItemWriter) -> Result<Figures, BoxError> {
        let outputs = ctx.outputs("words")?;
        out.write("count.txt", outputs.len().to_string().as_bytes())?;
        let mut figures = Figures::new();
        figures.insert("count".into(), outputs.len().into());
        Ok(figures)
    }
}

/// Pass 0: the sum of a word's bytes (transient). Pass 1: the mean of the sums
/// of the word and its neighbours.
struct Blur(Toy);

impl Stage for Blur {
    fn name(&self) -> &'static str {
        "blur"
    }
    fn version(&self) -> u32 {
        1
    }
    fn depends_on(&self) -> &[&'static str] {
        &["words"]
    }
    fn options(&self, _: &StageContext) -> Result<Value, BoxError> {
        Ok(Value::Null)
    }
    fn passes(&self, _: &StageContext) -> u32 {
        2
    }
    fn weight_after(&self, _: &StageContext, pass: u32) -> u64 {
        if pass == 0 {
            self.0.words.len() as u64
        } else {
            0
        }
    }
    fn items(&self, ctx: &StageContext, pass: u32) -> Result<Vec<Item>, BoxError> {
        let words = ctx.outputs_by_item("words")?;
        let names: Vec<&String> = words.keys().filter(|n| !n.is_empty()).collect();
        if pass == 0 {
            return Ok(names
                .iter()
                .map(|n| Item::new(*n, ctx.key().outputs(&words[*n]).value("pass", 0).finish()))
                .collect());
        }
        let sums = ctx.pass_outputs(0);
        assert_eq!(sums.len(), names.len());
        Ok((0..names.len())
            .map(|i| {
                let near = &sums[i.saturating_sub(1)..(i + 2).min(sums.len())];
                Item::new(names[i], ctx.key().outputs(near).value("pass", 1).finish())
            })
            .collect())
    }
    fn run_item(
        &self,
        ctx: &StageContext,
        item: &Item,
        out: &mut ItemWriter,
    ) -> Result<(), BoxError> {
        self.0.note(&format!("blur{}", item.pass), &item.name)?;
        if item.pass == 0 {
            let word = fs_err::read(&ctx.item_outputs("words", &item.name)?[0].path)?;
            let sum: u64 = word.iter().map(|b| u64::from(*b)).sum();
            out.write_transient(&file_name(&item.name, ".sum"), sum.to_string().as_bytes())?;
            return Ok(());
        }
        let mut total = 0;
        for name in item.key.inputs.keys() {
            let path = ctx.work().join(name);
            total += fs_err::read_to_string(path)?.parse::<u64>()?;
        }
        out.write(
            &file_name(&item.name, ".blur"),
            total.to_string().as_bytes(),
        )?;
        Ok(())
    }
}

/// One long item with checkpoints, one at a time.
struct Book(Toy);

impl Stage for Book {
    fn name(&self) -> &'static str {
        "book"
    }
    fn version(&self) -> u32 {
        1
    }
    fn depends_on(&self) -> &[&'static str] {
        &["blur"]
    }
    fn options(&self, _: &StageContext) -> Result<Value, BoxError> {
        Ok(Value::Null)
    }
    fn parallelism(&self, _: &StageContext, _: u32) -> Parallelism {
        Parallelism::OneAtATime { memory_bytes: 1 }
    }
    fn items(&self, ctx: &StageContext, _: u32) -> Result<Vec<Item>, BoxError> {
        Ok(vec![Item::new(
            "all",
            ctx.key().outputs(&ctx.outputs("blur")?).finish(),
        )])
    }
    fn run_item(
        &self,
        ctx: &StageContext,
        item: &Item,
        out: &mut ItemWriter,
    ) -> Result<(), BoxError> {
        let pages = ctx.outputs("blur")?;
        let mut text = ctx.load_checkpoint("book", &item.key).unwrap_or_default();
        let done = text.split(|b| *b == b'\n').count() - 1;
        for page in &pages[done..] {
            self.0.note("book", &page.item)?;
            text.extend(fs_err::read(&page.path)?);
            text.push(b'\n');
            ctx.save_checkpoint("book", &item.key, &text)?;
        }
        out.write_with("model/book.txt", |path| Ok(fs_err::write(path, &text)?))?;
        Ok(())
    }
}

/// Depends on the words alone.
struct Shout(Toy);

impl Stage for Shout {
    fn name(&self) -> &'static str {
        "shout"
    }
    fn version(&self) -> u32 {
        1
    }
    fn depends_on(&self) -> &[&'static str] {
        &["words"]
    }
    fn options(&self, _: &StageContext) -> Result<Value, BoxError> {
        Ok(json!({ "loud": self.0.loud }))
    }
    fn items(&self, ctx: &StageContext, _: u32) -> Result<Vec<Item>, BoxError> {
        Ok(vec![Item::new(
            "all",
            ctx.key()
                .output(&ctx.output("words", "count.txt")?)
                .finish(),
        )])
    }
    fn run_item(&self, ctx: &StageContext, _: &Item, out: &mut ItemWriter) -> Result<(), BoxError> {
        self.0.note("shout", "all")?;
        let count = fs_err::read_to_string(ctx.output("words", "count.txt")?.path)?;
        let mark = if self.0.loud { "!" } else { "." };
        out.write("shout.txt", (count + mark).as_bytes())?;
        Ok(())
    }
}

/// Every file below a folder but `stage.json` and the lock, with its content.
pub fn snapshot(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    fn walk(dir: &Path, root: &Path, all: &mut BTreeMap<String, Vec<u8>>) {
        for entry in fs_err::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                walk(&path, root, all);
            } else if name != "stage.json" && name != ".relievo-lock" {
                let inside = path
                    .strip_prefix(root)
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned();
                all.insert(inside, fs_err::read(&path).unwrap());
            }
        }
    }
    let mut all = BTreeMap::new();
    walk(dir, dir, &mut all);
    all
}

/// Runs the toy on a folder and gives the reports.
pub fn run(toy: &Toy, dir: &Path, selection: &Selection) -> Result<Vec<StageReport>, EngineError> {
    run_plan(toy.plan(), dir, selection)
}

/// Runs stages on a folder and gives the reports.
pub fn run_plan(
    plan: Vec<Box<dyn Stage>>,
    dir: &Path,
    selection: &Selection,
) -> Result<Vec<StageReport>, EngineError> {
    run_task(plan, dir, selection, &relievo_task::Task::silent())
}

/// The same with a task of the test's own.
pub fn run_task(
    plan: Vec<Box<dyn Stage>>,
    dir: &Path,
    selection: &Selection,
    task: &relievo_task::Task,
) -> Result<Vec<StageReport>, EngineError> {
    let work = Work::create(dir)?;
    let lock = work.lock("toy")?;
    Engine::new(&work, plan)?.run(&lock, selection, task, &NoObserver)
}

/// Status of each stage in words.
pub fn status(toy: &Toy, dir: &Path) -> BTreeMap<String, String> {
    let work = Work::open(dir).unwrap();
    let engine = Engine::new(&work, toy.plan()).unwrap();
    let all = engine
        .status(&Selection::default(), &relievo_task::Task::silent())
        .unwrap();
    all.into_iter()
        .map(|s| (s.name, s.status.to_string()))
        .collect()
}
