//! A campaign: every class of hostile input through every launcher that takes it, alone and in
//! seeded combinations, judged from outside. Nothing may be read, written, signalled or connected to
//! that the family does not give.
//!
//! `RED_SEED` chooses the combinations, `RED_CASES` how many there are; a case that fails prints both
//! its number and its input.

#![allow(
    clippy::print_stdout,
    reason = "how many ran and were refused is worth knowing, and one case can be looked at"
)]

mod cases;
mod world;

use cases::{Hostile, Launcher, classes};
use red_tests::random::{Random, chosen};
use red_tests::skip;
use world::World;

/// Combinations of hostile inputs, beside every single one.
const COMBINATIONS: usize = 60;

/// The seed of the run that the gate does.
const SEED: u64 = 20_261_129;

/// Every case: launcher and hostile input.
fn cases() -> Vec<(Launcher, Vec<Hostile>)> {
    let all = classes();
    let mut cases = Vec::new();
    for class in &all {
        for launcher in Launcher::ALL {
            // Detached ones differ from others in what is open while they start.
            let enough =
                launcher == Launcher::Detached && !matches!(class, Hostile::Cwd(_) | Hostile::Nest { .. });
            if class.suits(launcher) && !enough {
                cases.push((launcher, vec![class.clone()]));
            }
        }
    }
    let mut random = Random(chosen("RED_SEED", SEED));
    let combinations = usize::try_from(chosen("RED_CASES", 0)).unwrap_or(0).max(COMBINATIONS);
    let until = cases.len() + combinations;
    while cases.len() < until {
        let launcher = *random.of(&Launcher::ALL);
        let picked: Vec<Hostile> =
            (0..3).map(|_| random.of(&all).clone()).filter(|one| one.suits(launcher)).collect();
        if picked.len() > 1 {
            cases.push((launcher, picked));
        }
    }
    cases
}

/// Runs the cases of one of so many shares.
fn share(share: usize, shares: usize) {
    if !rustix::process::geteuid().is_root() {
        return skip("the campaign is root's: it mounts aliases");
    }
    let cases = cases();
    assert!(cases.len() >= 300, "{} cases", cases.len());
    let only = std::env::var("RED_CASE").ok().and_then(|text| text.parse::<usize>().ok());
    let mut failed = Vec::new();
    let (mut ran, mut refused) = (0, 0);
    for (index, (launcher, hostile)) in cases.iter().enumerate() {
        if index % shares != share || only.is_some_and(|only| only != index) {
            continue;
        }
        let mut world = World::new(index, *launcher, hostile);
        let said = world.launch(*launcher, hostile);
        let mut escapes = world.escapes(&said, *launcher);
        let started = said.out.contains("NS ");
        if started && hostile.iter().any(Hostile::must_be_refused) {
            escapes.push("it was started".into());
        }
        if only.is_some() {
            println!("{}\n{}", said.out, said.err);
        }
        if started {
            ran += 1
        } else {
            refused += 1
        }
        // A launch that did not happen says why.
        if !started && said.err.trim().is_empty() && said.out.trim().is_empty() {
            escapes.push("it did not start, and nobody said why".into());
        }
        if said.err.contains("panicked") {
            escapes.push("it panicked".into());
        }
        if !escapes.is_empty() {
            failed.push(format!("case {index}: {launcher:?} {hostile:?}\n  {}", escapes.join("\n  ")));
        }
    }
    println!("share {share}: {ran} ran and did no harm, {refused} were refused, {} escaped", failed.len());
    assert!(failed.is_empty(), "{} escapes\n{}", failed.len(), failed.join("\n"));
    // A campaign in which everything is refused would show nothing.
    assert!(only.is_some() || (ran > 10 && refused > 10), "{ran} ran, {refused} were refused");
}

#[test]
fn nothing_leads_out_first_half() {
    share(0, 2);
}

#[test]
fn nothing_leads_out_second_half() {
    share(1, 2);
}
