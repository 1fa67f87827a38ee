//! Against a provider that answers from a script.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use k8s_openapi::api::core::v1::PodStatus;
use pluglet_model::PodPlan;
use pluglet_model::provider::{CommandOutput, Health, LogRequest, LogStream};
use tokio::sync::watch;

use super::*;

type Answer = Result<CommandOutput, Error>;

/// Runs commands; None: for ever. Nothing else is asked of it here.
pub(in crate::probes) struct Commands(pub(in crate::probes) Option<Answer>);

fn nothing<T>() -> Result<T, Error> {
    Err(Error::Unsupported("nothing of the kind".to_owned()))
}

#[async_trait]
impl Provider for Commands {
    fn health(&self) -> watch::Receiver<Health> {
        watch::channel(Health::default()).1
    }
    async fn create(&self, _: &PodPlan) -> Result<PodStatus, Error> {
        nothing()
    }
    async fn update(&self, _: &PodPlan) -> Result<PodStatus, Error> {
        nothing()
    }
    async fn delete(&self, _: &PodKey, _: Duration) -> Result<(), Error> {
        nothing()
    }
    async fn status(&self, _: &PodKey) -> Result<PodStatus, Error> {
        nothing()
    }
    async fn list(&self) -> Result<Vec<(PodKey, PodStatus)>, Error> {
        nothing()
    }
    async fn logs(&self, _: &PodKey, _: LogRequest) -> Result<LogStream, Error> {
        nothing()
    }
    async fn stop(&self, _: Duration) {}

    async fn run(&self, _: &PodKey, container: &str, command: &[String]) -> Answer {
        assert_eq!((container, command), ("c", &["cat".to_owned(), "/tmp/healthy".to_owned()][..]));
        match &self.0 {
            Some(answer) => answer.clone(),
            None => std::future::pending().await,
        }
    }
}

async fn outcome(answer: Option<Answer>) -> Outcome {
    let command = ["cat".to_owned(), "/tmp/healthy".to_owned()];
    let key = PodKey::new("uid", "default", "pod");
    run(&Commands(answer), &key, "c", &command, Deadline::after(Duration::from_secs(1))).await
}

fn exit(exit_code: i32, output: impl Into<Bytes>) -> Option<Answer> {
    Some(Ok(CommandOutput { exit_code, output: output.into() }))
}

#[tokio::test]
async fn the_exit_code_decides() {
    assert_eq!(outcome(exit(0, "fine")).await, Outcome::Success);
    let output = "cat: /tmp/healthy: No such file or directory\n";
    assert_eq!(outcome(exit(1, output)).await, Outcome::failure(output));
    assert_eq!(outcome(exit(-1, &b"\xff"[..])).await, Outcome::failure("\u{fffd}"));
}

#[tokio::test]
async fn of_a_long_output_the_first_10_kib_are_taken() {
    let Outcome::Failure { output } = outcome(exit(1, vec![b'a'; 90_112])).await else { panic!("it failed") };
    assert_eq!(output.len(), 10_240);
}

#[tokio::test(start_paused = true)]
async fn a_command_that_does_not_end_in_time_is_a_failure() {
    assert_eq!(outcome(None).await, Outcome::failure("command timed out: no answer within 1s"));
}

#[tokio::test]
async fn errors_of_the_provider_say_nothing_about_the_container() {
    let unsupported = Error::Unsupported("it does not run commands in containers".to_owned());
    assert_eq!(
        outcome(Some(Err(unsupported))).await,
        Outcome::Unknown {
            error: "it does not run commands in containers; use httpGet, tcpSocket or grpc instead of exec".to_owned()
        }
    );
    for error in [Error::NotFound, Error::Internal("oh".to_owned()), Error::Restarting("oh".to_owned())] {
        let expected = Outcome::Unknown { error: error.to_string() };
        assert_eq!(outcome(Some(Err(error))).await, expected);
    }
}
