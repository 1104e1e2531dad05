//! The client dies, or waits in vain, when its EndTxn is on the way: whether the commit holds is for the broker to say.

use std::time::Duration;

use anyhow::{Result, ensure};
use weir_tests::proxy::{Api, Fault, Rule};

use crate::scene::{PATIENCE, Scene, Trouble, at_once, survives};

/// For the broker to do what it was asked.
const A_MOMENT: Duration = Duration::from_millis(300);

#[test]
fn kill_9_before_the_answer_to_a_commit_that_holds() -> Result<()> {
    let scene = Scene::new("unanswered")?;
    let mut host = scene.start(&[])?;
    scene.wait_for_output(&mut host)?;
    let end = scene.proxy().add(Rule::on(Api::END_TXN).answer(Fault::Silence));
    end.wait(1, PATIENCE)?;
    std::thread::sleep(A_MOMENT);
    host.kill()?;
    scene.proxy().clear();
    scene.run_to_the_end()
}

#[test]
fn kill_9_before_a_commit_arrives_which_it_does_after_the_next_start() -> Result<()> {
    let scene = Scene::new("on-its-way")?;
    let mut host = scene.start(&[])?;
    scene.wait_for_output(&mut host)?;
    let late = scene.proxy().add(Rule::on(Api::END_TXN).once().hold());
    // What the client sends again does not arrive, either.
    let again = scene.proxy().add(Rule::on(Api::END_TXN).request(Fault::Silence));
    again.wait(1, PATIENCE)?;
    host.kill()?;
    scene.proxy().clear();
    scene.run_to_the_end()?;
    let answer = late.deliver(PATIENCE)?.error()?;
    ensure!(answer != 0, "the broker took an EndTxn of a producer that is no more");
    scene.judge()?.expect_exact()?;
    Ok(())
}

#[test]
fn a_commit_of_unknown_outcome_is_recovered_from() -> Result<()> {
    let scenarios = [
        ("done-and-unheard", Trouble::of([Rule::on(Api::END_TXN).once().answer(Fault::Drop)])),
        ("never-arrived", Trouble::of([Rule::on(Api::END_TXN).once().request(Fault::Drop)])),
        ("offsets-unheard", Trouble::of([Rule::on(Api::TXN_OFFSET_COMMIT).once().answer(Fault::Drop)])),
        ("offsets-never-arrived", Trouble::of([Rule::on(Api::ADD_OFFSETS).once().request(Fault::Drop)])),
    ];
    at_once(&scenarios, survives)
}

#[test]
fn an_unknown_outcome_taken_as_success_is_seen() -> Result<()> {
    let scene = Scene::new("taken-as-success")?;
    let mut host = scene.start_sabotaged("unknown-is-success")?;
    scene.wait_for_output(&mut host)?;
    // The client sends it again before it gives up, and then it might arrive in time: so every one is lost until the clients
    // that come after it initialise both ids.
    let lost = scene.proxy().add(Rule::on(Api::END_TXN).request(Fault::Drop));
    lost.wait(1, PATIENCE)?;
    scene.proxy().add(Rule::on(Api::INIT_PRODUCER_ID)).wait(2, PATIENCE)?;
    scene.proxy().clear();
    // It goes on to the end as if nothing had been: the broker has given up what that transaction held.
    host.wait(PATIENCE)?.expect(0)?;
    scene.expect_harm(scene.start(&[])?)
}
