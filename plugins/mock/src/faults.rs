//! Ways to break the provider on purpose.
//!
//! In: the `fault` annotation. Out: nothing; these functions do not return. Invariant: they are reached by that annotation only. They
//! let tests see that the host survives a provider that traps, hangs or eats memory.

use std::hint::black_box;

use crate::script::Fault;

/// Break.
pub(crate) fn commit(fault: Fault) -> ! {
    match fault {
        Fault::Trap => trap(),
        Fault::Spin => spin(),
        Fault::Allocate => allocate(),
    }
}

#[expect(clippy::panic, reason = "the trap is what the annotation asks for")]
fn trap() -> ! {
    panic!("a trap, as the annotation asks for")
}

fn spin() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

/// Ends in a trap, when the host gives no more memory.
fn allocate() -> ! {
    let mut kept = Vec::new();
    loop {
        // Not zeros: those may be given without memory behind them.
        kept.push(black_box(vec![1_u8; 1 << 20]));
    }
}
