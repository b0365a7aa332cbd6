//! What a person is told while stages run: how much of all passes is done, and from
//! where its pace counts.

#![allow(clippy::unwrap_used, reason = "functions that tests share")]

mod toy;

use relievo_engine::Selection;
use relievo_task::{Isa, ProgressSink, Task};
use std::path::Path;
use std::sync::{Arc, Mutex};
use toy::{Toy, run_task};

/// Done and total.
type Told = (u64, u64);

/// What is said of `blur`: where its parts begin, and every step.
#[derive(Clone, Default)]
struct Ear {
    begins: Arc<Mutex<Vec<Told>>>,
    steps: Arc<Mutex<Vec<Told>>>,
}

impl ProgressSink for Ear {
    fn begin(&self, label: &str, done: u64, total: u64) {
        if label == "blur" {
            self.begins.lock().unwrap().push((done, total));
        }
    }
    fn advance(&self, label: &str, done: u64, total: u64) {
        if label == "blur" {
            self.steps.lock().unwrap().push((done, total));
        }
    }
}

/// On one thread: where the parts of `blur` began, and its steps.
fn heard(toy: &Toy, dir: &Path) -> (Vec<Told>, Vec<Told>) {
    let ear = Ear::default();
    let sink = Box::new(ear.clone());
    let task = Task::new(sink, Arc::default(), 1 << 32, 0, Isa::Native);
    let one = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .unwrap();
    let _ = one.install(|| run_task(toy.plan(), dir, &Selection::default(), &task));
    let begins = ear.begins.lock().unwrap().clone();
    let steps = ear.steps.lock().unwrap().clone();
    (begins, steps)
}

#[test]
fn later_passes_count_from_the_beginning() {
    let root = tempfile::tempdir().unwrap();
    let (begins, steps) = heard(&Toy::new(24), &root.path().join("work"));
    assert_eq!(begins, [(0, 48), (24, 48)]);
    let want: Vec<Told> = (1..=48).map(|n| (n, 48)).collect();
    assert_eq!(steps, want);
}

#[test]
fn what_an_earlier_run_did_is_done_when_the_work_goes_on() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("work");
    let broken = Toy {
        fails: Some("blur1/dir/w007".into()),
        ..Toy::new(24)
    };
    heard(&broken, &dir);
    let (begins, steps) = heard(&Toy::new(24), &dir);
    assert_eq!(begins, [(24, 48), (24 + 7, 48)]);
    let want: Vec<Told> = (32..=48).map(|n| (n, 48)).collect();
    assert_eq!(steps, want);
}
