//! What only the memory store can do: go wrong to order.

mod given;

use futures::FutureExt;
use futures::executor::block_on;
use given::*;
use squall_store::memory::{Fault, Memory};
use squall_store::{Batch, Error, Store};

fn there(store: &Memory, n: u32) -> bool {
    store.execution(id(n)).unwrap().is_some()
}

#[test]
fn a_crash_at_every_commit_keeps_what_was_acknowledged() {
    for (fault, written) in [(Fault::CrashBefore, false), (Fault::CrashAfter, true)] {
        for at in 1..=5 {
            let store = Memory::new();
            store.fault_at(at, fault);
            let acknowledged = (1..=5).take_while(|n| commit(&store, [insert(execution(*n))]).is_ok()).count();
            assert_eq!(acknowledged as u64, at - 1);
            assert!(store.crashed());
            assert!(matches!(store.execution(id(1)), Err(Error::Fatal(_))));
            let again = store.crash();
            assert!(!again.crashed());
            for n in 1..=5 {
                let expected = u64::from(n) < at || (u64::from(n) == at && written);
                assert_eq!(there(&again, n), expected, "{fault:?} at {at}: {n}");
            }
        }
    }
}

#[test]
fn what_was_in_flight_survives_in_order_or_not_at_all() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..64 {
        let store = Memory::seeded(seed);
        given(&store, [insert(execution(0))]);
        let waiting: Vec<_> = (1..4).map(|n| store.commit(Batch::from(insert(execution(n))))).collect();
        assert!(!there(&store, 1), "nobody sees a batch before it is durable");
        let again = store.crash();
        let survived: Vec<u32> = (0..4).filter(|n| there(&again, *n)).collect();
        assert_eq!(survived, (0..survived.len() as u32).collect::<Vec<_>>());
        assert!(waiting.into_iter().all(|w| matches!(w.now_or_never(), Some(Err(Error::Fatal(_))))));
        assert_eq!(survived.len(), {
            // The same seed takes the same course.
            let store = Memory::seeded(seed);
            given(&store, [insert(execution(0))]);
            (1..4).for_each(|n| drop(store.commit(Batch::from(insert(execution(n))))));
            let again = store.crash();
            (0..4).filter(|n| there(&again, *n)).count()
        });
        seen.insert(survived.len());
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [1, 2, 3, 4]);
}

#[test]
fn refusals_to_order_write_nothing_and_pass() {
    for fault in [Fault::Full, Fault::Busy, Fault::Conflict] {
        let store = Memory::new();
        store.fault_next(fault);
        let refused = commit(&store, [insert(execution(1))]).unwrap_err();
        let expected = match fault {
            Fault::Full => matches!(refused, Error::Full(_)),
            Fault::Busy => matches!(refused, Error::Busy),
            _ => matches!(refused, Error::Conflict { .. }),
        };
        assert!(expected, "{refused}");
        assert!(!there(&store, 1));
        given(&store, [insert(execution(1))]);
        assert_eq!(store.commits(), 2);
    }
}

#[test]
fn a_lost_answer_leaves_both_outcomes_open() {
    let outcomes: Vec<bool> = (0..32)
        .map(|seed| {
            let store = Memory::seeded(seed);
            store.fault_next(Fault::Lost);
            assert!(matches!(commit(&store, [insert(execution(1))]), Err(Error::Fatal(_))));
            assert!(!store.crashed());
            there(&store, 1)
        })
        .collect();
    assert!(outcomes.contains(&true) && outcomes.contains(&false));
}

#[test]
fn futures_may_be_polled_in_any_order() {
    let store = Memory::new();
    let first = store.commit(Batch::from(insert(execution(1))));
    let second = store.commit(Batch::from(insert(execution(1))));
    assert!(matches!(block_on(second), Err(Error::Conflict { .. })));
    assert!(block_on(first).is_ok());
}

#[test]
fn clones_share_and_forks_do_not() {
    let store = Memory::new();
    let (clone, fork) = (store.clone(), store.fork());
    given(&clone, [insert(execution(1))]);
    assert!(there(&store, 1));
    assert!(!there(&fork, 1));
}
