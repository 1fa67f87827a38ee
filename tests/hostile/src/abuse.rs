//! Ways to hurt the host with time, memory and handles.
//!
//! In: instructions. Out: what is left to tell, where anything is. Invariant: these functions do the damage that their names say, also when
//! the optimiser looks at them.

use std::hint::black_box;
use std::time::Duration;

use pluglet_sdk::Host;
use serde_json::{Value, json};

/// How long a slice of [`busy`] computes before it gives way.
const SLICE_NS: u64 = 1_000_000;

/// Compute without end and without giving way.
pub(crate) fn spin() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

/// Compute for so long by the host's clock, and give way after each slice.
pub(crate) async fn busy(host: &Host, ms: u64) -> Value {
    let end = host.now_unix_ns().saturating_add(ms.saturating_mul(1_000_000));
    let mut slices = 0_u64;
    loop {
        let begun = host.now_unix_ns();
        if begun >= end {
            return json!({"slices": slices});
        }
        while host.now_unix_ns().saturating_sub(begun) < SLICE_NS {
            (0..1000_u32).for_each(|turn| {
                black_box(turn);
            });
        }
        slices += 1;
        host.sleep(Duration::ZERO).await;
    }
}

/// Take so much memory, or all there is, which ends in a trap.
pub(crate) fn memory_bomb(bytes: Option<u64>) -> Value {
    const BLOCK: u64 = 1 << 20;
    let mut kept = Vec::new();
    while bytes.is_none_or(|bytes| (kept.len() as u64).saturating_mul(BLOCK) < bytes) {
        // Not zeros: those may be given without memory behind them.
        kept.push(black_box(vec![1_u8; 1 << 20]));
    }
    let taken = (kept.len() as u64).saturating_mul(BLOCK);
    drop(black_box(kept));
    json!({"taken": taken})
}

/// Use up the stack.
pub(crate) fn recursion() -> Value {
    #[inline(never)]
    fn deeper(depth: u64) -> u64 {
        let frame = black_box([depth; 32]);
        // Never true, but the compiler must not know: an unconditional recursion would be a warning.
        if black_box(depth) == u64::MAX {
            return 0;
        }
        // Used after the call, so that it is no tail call.
        deeper(depth.wrapping_add(1)).wrapping_add(frame.iter().copied().fold(0, u64::wrapping_add))
    }
    json!({"depth": black_box(deeper(0))})
}

/// Trap without a word.
pub(crate) fn unreachable() -> Value {
    #[cfg(target_arch = "wasm32")]
    core::arch::wasm32::unreachable();
    #[cfg(not(target_arch = "wasm32"))]
    std::process::abort();
}

#[expect(clippy::panic, reason = "the trap is what the instruction asks for")]
pub(crate) fn panic(text: &str) -> Value {
    panic!("{text}")
}

#[expect(clippy::exit, reason = "the exit is what the instruction asks for")]
pub(crate) fn exit(code: i32) -> Value {
    std::process::exit(code)
}

/// Make pairs of streams and futures and forget them: their handles stay in the host.
pub(crate) fn leak_streams(n: u64) -> Value {
    #[cfg(target_arch = "wasm32")]
    {
        use pluglet_sdk::__private::bindings::{wit_future, wit_stream};
        for _ in 0..n {
            std::mem::forget(wit_stream::new::<u8>());
            std::mem::forget(wit_future::new::<pluglet_sdk::Headers>(pluglet_sdk::Headers::new));
        }
        json!({"leaked": n})
    }
    #[cfg(not(target_arch = "wasm32"))]
    crate::seen::failed("native", format!("only a component can leak {n} streams"))
}

/// Tasks that wait for ever, each on the host's clock, so that the host has to keep something for each.
pub(crate) fn leak_tasks(host: &Host, n: u64) -> Value {
    for _ in 0..n {
        let waiting = host.clone();
        host.spawn(async move { waiting.sleep(Duration::from_millis(u64::MAX)).await });
    }
    json!({"leaked": n})
}

/// Look through all of the memory for a text, which is given backwards so that it does not stand there because it was asked for.
pub(crate) fn scan_memory(backwards: &str) -> Value {
    #[cfg(target_arch = "wasm32")]
    {
        let bytes = core::arch::wasm32::memory_size::<0>() * 65_536;
        #[expect(unsafe_code, reason = "an attacker looks where it likes, and all of this memory is its own")]
        // SAFETY: the linear memory has so many bytes, all of them readable; address 0 is left out, which no slice may begin at.
        let memory = unsafe { std::slice::from_raw_parts(std::ptr::without_provenance::<u8>(1), bytes - 1) };
        let found =
            memory.windows(backwards.len()).filter(|window| window.iter().eq(backwards.as_bytes().iter().rev()));
        json!({"found": found.count(), "bytes": bytes})
    }
    #[cfg(not(target_arch = "wasm32"))]
    crate::seen::failed("native", format!("only a component can look for {} bytes", backwards.len()))
}
