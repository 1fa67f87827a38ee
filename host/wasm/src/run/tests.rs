//! Commands whose guest is played by the test.

use std::collections::HashMap;

use tokio::sync::{Semaphore, mpsc as jobs, watch};
use wasmtime::Store;
use wasmtime::component::{FutureReader, StreamReader};

use super::*;
use crate::bindings::pluglet::provider::types;
use crate::gate::End;

fn permits() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(1))
}

fn session(permits: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    Arc::clone(permits).try_acquire_owned().unwrap()
}

/// The gate of an incarnation that has ended.
fn ended(message: &str) -> Gate {
    let end = End { message: message.to_owned(), strikes: HashMap::new() };
    Gate::new(jobs::channel(1).0, watch::channel(Some(Arc::new(end))).1)
}

/// Run a command that writes this and ends with that.
async fn run(stdout: Vec<u8>, stderr: Vec<u8>, exit: Result<i32, types::Error>) -> Result<CommandOutput, Error> {
    let (sink, source) = channel(session(&permits()));
    let mut store = Store::new(crate::engine::shared().unwrap(), ());
    let stdout = StreamReader::new(&mut store, stdout).unwrap();
    let stderr = StreamReader::new(&mut store, stderr).unwrap();
    let exit = FutureReader::new(&mut store, async move { Ok::<_, wasmtime::Error>(exit) }).unwrap();
    sink.connect(&mut store, stdout, stderr, exit).unwrap();
    store.run_concurrent(async |_| source.finish(ended("not a crash"), &"uid".into()).await).await.unwrap()
}

#[tokio::test]
async fn the_output_of_both_streams_comes_with_the_exit_code() {
    let ended = run(b"out".to_vec(), b"err".to_vec(), Ok(3)).await.unwrap();
    assert_eq!(ended.exit_code, 3);
    assert!(matches!(&*ended.output, b"outerr" | b"errout"), "{ended:?}");
    let silent = run(Vec::new(), Vec::new(), Ok(0)).await.unwrap();
    assert_eq!(silent, CommandOutput { exit_code: 0, output: Bytes::new() });
}

#[tokio::test]
async fn the_first_ten_kibibytes_are_kept_and_the_rest_is_read() {
    let long: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
    let ended = run(long.clone(), Vec::new(), Ok(1)).await.unwrap();
    assert_eq!((ended.exit_code, ended.output.len()), (1, 10_240));
    assert!(long.starts_with(&ended.output));
}

#[tokio::test]
async fn a_command_that_writes_without_end_is_left_to_itself() {
    let error = run(vec![b'y'; (16 << 20) + 1], Vec::new(), Ok(0)).await.unwrap_err();
    assert!(matches!(&error, Error::Invalid(text) if text.contains("16777216")), "{error}");
}

#[tokio::test]
async fn an_end_with_an_error_is_that_error() {
    let error = run(b"half".to_vec(), Vec::new(), Err(types::Error::NotFound)).await.unwrap_err();
    assert!(matches!(error, Error::NotFound), "{error}");
}

#[tokio::test]
async fn a_crash_during_the_command_is_told_as_one() {
    let (sink, source) = channel(session(&permits()));
    drop(sink);
    let error = source.finish(ended("out of memory"), &"uid".into()).await.unwrap_err();
    assert!(matches!(&error, Error::Restarting(message) if message == "out of memory"), "{error}");
}

#[tokio::test]
async fn the_place_is_free_once_the_caller_has_left_and_the_guest_has_answered() {
    let permits = permits();
    let (sink, source) = channel(session(&permits));
    drop(source);
    assert_eq!(permits.available_permits(), 0, "the guest still has the call inside");
    let mut store = Store::new(crate::engine::shared().unwrap(), ());
    let streams = [(); 2].map(|()| StreamReader::new(&mut store, std::iter::empty::<u8>()).unwrap());
    let [stdout, stderr] = streams;
    let exit = FutureReader::new(&mut store, std::future::pending::<wasmtime::Result<Result<i32, types::Error>>>());
    sink.connect(&mut store, stdout, stderr, exit.unwrap()).unwrap();
    assert_eq!(permits.available_permits(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_command_that_never_ends_is_given_up() {
    let (sink, source) = channel(session(&permits()));
    let error = source.finish(ended("not a crash"), &"uid".into()).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { call: "exec", after: COMMAND }), "{error}");
    drop(sink);
}
