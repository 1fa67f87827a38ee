//! The pump between a stream that the host makes and a channel that the test reads.

use futures::StreamExt as _;
use wasmtime::Store;
use wasmtime::component::StreamReader;

use super::*;

/// Three of each.
fn thrice(item: u32, out: &mut VecDeque<u32>) {
    out.extend([item; 3]);
}

/// How a test changes its pump.
type Change = fn(Pump<u32, u32, ()>) -> Pump<u32, u32, ()>;

async fn batches(items: Vec<u32>, batch: usize) -> Vec<Vec<u32>> {
    pumped(items, batch, |pump| pump).await
}

async fn pumped(items: Vec<u32>, batch: usize, change: Change) -> Vec<Vec<u32>> {
    let mut store = Store::new(crate::engine::shared().unwrap(), ());
    // No room but the sender's own: every batch has to be read before the next one goes on.
    let (sink, seen) = mpsc::channel(0);
    let reader = StreamReader::new(&mut store, items).unwrap();
    reader.pipe(&mut store, change(Pump::new(sink, batch, thrice, ()))).unwrap();
    store.run_concurrent(async |_| seen.collect().await).await.unwrap()
}

#[tokio::test]
async fn what_becomes_more_than_a_batch_goes_on_in_several_and_nothing_is_lost() {
    let seen = batches((0..5).collect(), 2).await;
    assert!(seen.iter().all(|batch| batch.len() <= 2), "{seen:?}");
    assert_eq!(seen.concat(), [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]);
}

#[tokio::test]
async fn a_batch_of_one_is_one() {
    assert!(batches(vec![1, 2], 1).await.iter().all(|batch| batch.len() == 1));
}

#[tokio::test]
async fn small_items_go_on_many_at_a_time_and_large_ones_few() {
    let portioned: Change =
        |pump| pump.portioned(Portion { items: 24, bytes: 1000, weigh: |item| *item as usize, pack: |batch| batch });
    // Each item becomes three: from two of them at a time to so many that they are 24.
    let seen = pumped(vec![1; 100], 2, portioned).await;
    let longest = seen.iter().map(Vec::len).max();
    assert!(seen.concat() == vec![1; 300] && seen[0].len() == 6 && longest == Some(24), "{seen:?}");
    let seen = pumped(vec![400; 10], 2, portioned).await;
    assert!(seen.concat() == vec![400; 30] && seen.iter().all(|batch| batch.len() <= 2), "{seen:?}");
    // One that is too large alone goes on alone.
    let seen = pumped(vec![5000; 3], 2, portioned).await;
    assert!(seen.concat() == vec![5000; 9] && seen.iter().all(|batch| batch.len() == 1), "{seen:?}");
}
