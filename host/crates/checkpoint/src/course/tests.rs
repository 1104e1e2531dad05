//! A process that was asked for another pipeline than the last epoch has, and recovers before and after it holds.
use weir_core::Delivery;

use super::*;
use crate::samples::{follow, split, wanted};

const PLACE: MarkerPlace = MarkerPlace::Splits;

fn attempt(name: &str) -> AttemptId {
    AttemptId(name.into())
}

/// The record of an epoch that `by` wrote, with this plan.
fn record(by: &str, plan: Plan) -> Manifest {
    let mut chain = Vec::new();
    follow(&mut chain, 7, vec![split("t", 0, 5)], (PLACE, Delivery::ExactlyOnce));
    let (manifest, _) = chain.remove(0);
    Manifest { attempt: attempt(by), plan: plan.with(&manifest.sources()).encode(), ..manifest }
}

/// The plan that `by` begins with.
fn plan(course: &mut Course, by: &str) -> Plan {
    course.plan(&attempt(by), &[]).unwrap().0
}

/// An epoch of the process before, which had one task and these tables.
fn before(tables: &[&str]) -> Manifest {
    record("before", plan(&mut Course::new(wanted(1, tables, PLACE)), "before"))
}

/// How many tasks count, and the numbers of its tables.
fn of(plan: &Plan) -> (u16, Vec<u16>) {
    let tasks = plan.graph.find("count").map_or(0, |id| plan.graph.parallelism(id));
    (tasks, plan.operators.iter().flat_map(|operator| operator.tables.iter().map(|table| table.id.0)).collect())
}

#[test]
fn what_no_epoch_has_is_applied_again_to_the_epoch_that_holds() {
    let (held, mut course) = (before(&["m", "n"]), Course::new(wanted(3, &["n", "m", "new"], PLACE)));
    for by in ["first", "second"] {
        course.check(&held).unwrap();
        course.restore(Some(&held));
        assert!(!course.is_applied());
        assert_eq!(of(&plan(&mut course, by)), (3, vec![0, 1, 2]), "{by}: with the numbers that are recorded");
        assert_eq!(course.leaves(), Some(&**held.plan), "{by}: somebody else may still run it");
    }
}

#[test]
fn what_holds_is_what_runs_whoever_knew_of_it() {
    let (held, mut course) = (before(&["n"]), Course::new(wanted(3, &["n"], PLACE)));
    course.restore(Some(&held));
    let tried = record("first", plan(&mut course, "first"));
    // The answer to its commit was lost.
    assert!(course.has_tried(&tried) && !course.has_tried(&held));
    course.restore(Some(&tried));
    assert!(course.is_applied() && course.leaves().is_none());
    let again = plan(&mut course, "second");
    assert_eq!((&again.graph, &again.operators), (&tried.plan.graph, &tried.plan.operators));
}

#[test]
fn what_was_applied_is_not_asked_for_again() {
    let (held, mut course) = (before(&["n"]), Course::new(wanted(3, &["n"], PLACE)));
    course.restore(Some(&held));
    let tried = record("first", plan(&mut course, "first"));
    course.restore(Some(&tried));
    // Somebody changes the running job, to what this process was never asked for and would refuse.
    let changed = record("second", plan(&mut Course::new(wanted(5, &["other"], PLACE)), "second"));
    course.check(&changed).unwrap();
    course.restore(Some(&changed));
    assert_eq!(of(&plan(&mut course, "third")), (5, vec![0]));
    // It did not hold: back to what did.
    course.restore(Some(&tried));
    assert_eq!(of(&plan(&mut course, "third")), (3, vec![0]));
}

#[test]
fn what_does_not_fit_is_refused_until_it_is_what_holds() {
    let (held, mut course) = (before(&["n"]), Course::new(wanted(3, &["other"], PLACE)));
    course.check(&held).unwrap_err();
    course.restore(Some(&held));
    course.plan(&attempt("first"), &[]).unwrap_err();
    let mut leave = wanted(3, &["other"], PLACE);
    leave.consent.drop.push("count.n".parse().unwrap());
    let mut course = Course::new(leave);
    course.restore(Some(&held));
    let (dropped, notes) = course.plan(&attempt("first"), &[]).unwrap();
    assert_eq!((of(&dropped), notes.len()), ((3, vec![1]), 1));
    course.restore(Some(&record("first", dropped.clone())));
    let (again, notes) = course.plan(&attempt("second"), &[]).unwrap();
    assert_eq!((again.operators, notes), (dropped.operators, vec![]), "nothing is given up twice");
}

#[test]
fn a_first_start_leaves_nothing() {
    let mut course = Course::new(wanted(2, &["n"], PLACE));
    course.restore(None);
    assert_eq!((of(&plan(&mut course, "first")), course.leaves()), ((2, vec![0]), None));
    course.restore(None);
    assert_eq!(of(&plan(&mut course, "second")), (2, vec![0]), "nothing of it held");
}

#[test]
fn the_marker_stands_where_the_plan_says() {
    let carriers = |place: MarkerPlace| {
        let plan = record("a", plan(&mut Course::new(wanted(1, &[], place)), "a")).plan;
        plan.carriers().map(ToString::to_string).collect::<Vec<_>>()
    };
    let beside = carriers(MarkerPlace::Splits);
    assert_eq!(beside, [split("t", 0, 5).split.to_string()]);
    let fixed = weir_core::SplitId::new("out", 0);
    assert_eq!(carriers(MarkerPlace::Fixed(fixed.clone())), [fixed.to_string()]);
    assert!(carriers(MarkerPlace::Nowhere).is_empty());
}

/// The same epoch with another plugin of its operator, which took over from the file of digest `from`.
fn taken_over(held: &Manifest, version: &str, from: &str) -> Manifest {
    let mut numbered = Numbered::of(&held.plan);
    let plugin = &mut numbered.operators[0].plugin;
    (plugin.version, plugin.digest) = (version.into(), Digest(version.repeat(64)));
    plugin.took_over = Some(crate::manifest::TookOver { from: Digest(from.into()), config: None });
    Manifest { plan: held.plan.running(numbered).encode(), ..held.clone() }
}

#[test]
fn what_took_over_goes_on_where_its_file_is_asked_for() {
    let asked = wanted(1, &["n"], PLACE).operators[0].clone();
    let held = taken_over(&before(&["n"]), "2", &asked.plugin.digest.0);
    let log = [(held.clone(), Digest("0".repeat(64)))];
    let mut course = Course::new(wanted(1, &["n"], PLACE));
    let entry = held.plan.operators[0].plugin.clone();
    assert_eq!(course.taken_over(&log), [("count".to_owned(), entry.clone())]);
    // It is not there any more.
    let refused = course.check(&held).unwrap_err();
    assert!(matches!(&refused.0[..], [Misfit::Version { version, .. }] if version == "2"), "{refused}");
    course.offer(vec![Declared { plugin: entry.clone(), ..asked }]);
    course.check(&held).unwrap();
    course.restore(Some(&held));
    assert_eq!(plan(&mut course, "second").operators[0].plugin, entry);
}

#[test]
fn another_file_than_the_one_that_was_taken_over_from_is_what_is_asked_for() {
    let held = taken_over(&before(&["n"]), "2", &"f".repeat(64));
    let mut course = Course::new(wanted(1, &["n"], PLACE));
    assert_eq!(course.taken_over(&[(held.clone(), Digest("0".repeat(64)))]), []);
    course.check(&held).unwrap();
    course.restore(Some(&held));
    assert_eq!(plan(&mut course, "second").operators[0].plugin.version, "1");
}
