//! The pump between a stream that the host makes and a channel that the test reads.

use futures::StreamExt as _;
use wasmtime::Store;
use wasmtime::component::StreamReader;

use super::*;

/// Three of each.
fn thrice(item: u32, out: &mut VecDeque<u32>) {
    out.extend([item; 3]);
}

async fn batches(items: Vec<u32>, batch: usize) -> Vec<Vec<u32>> {
    let mut store = Store::new(crate::engine::shared().unwrap(), ());
    // No room but the sender's own: every batch has to be read before the next one goes on.
    let (sink, seen) = mpsc::channel(0);
    let reader = StreamReader::new(&mut store, items).unwrap();
    reader.pipe(&mut store, Pump::new(sink, batch, thrice, ())).unwrap();
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
