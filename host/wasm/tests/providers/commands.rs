//! Commands in containers.

use futures::future::{Either, select};
use pluglet_model::provider::{CommandOutput, Error, Provider, ProviderEvent};

use crate::support::{Running, key, options, plan, start, within};

async fn run(mock: &Running, uid: &str) -> Result<CommandOutput, Error> {
    within("the command", mock.provider.run(&key(uid), "main", &["probe".to_owned(), "--now".to_owned()])).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_runs_to_its_end_and_tells_its_output_and_exit_code() {
    let mock = start(options("mock")).await;
    mock.provider.create(&plan("a", &[("exec-exit-code", "3,0"), ("exec-output", "not yet\n")])).await.unwrap();
    let first = run(&mock, "a").await.unwrap();
    assert_eq!((first.exit_code, &*first.output), (3, &b"not yet\n"[..]));
    assert_eq!(run(&mock, "a").await.unwrap().exit_code, 0);
    mock.provider.create(&plan("shell", &[])).await.unwrap();
    let unknown = run(&mock, "shell").await.unwrap();
    assert_eq!(unknown.exit_code, 127);
    assert!(unknown.output.starts_with(b"probe: not found"), "{unknown:?}");
    mock.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn long_output_is_read_to_its_end_and_its_first_ten_kibibytes_are_kept() {
    let mock = start(options("mock")).await;
    mock.provider.create(&plan("a", &[("exec-output", &"0123456789".repeat(20_000))])).await.unwrap();
    let ended = run(&mock, "a").await.unwrap();
    assert_eq!((ended.exit_code, ended.output.len()), (0, 10_240));
    assert!(ended.output.ends_with(b"0123456789"));
    mock.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_no_command_where_no_container_runs() {
    let mock = start(options("mock")).await;
    assert!(matches!(run(&mock, "nobody").await, Err(Error::NotFound)));
    mock.provider.create(&plan("a", &[])).await.unwrap();
    let other = mock.provider.run(&key("a"), "other", &[]).await;
    assert!(matches!(other, Err(Error::NotFound)), "{other:?}");
    mock.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_that_are_given_up_free_their_places_and_are_ended() {
    let mut mock = start(options("mock")).await;
    mock.provider.create(&plan("a", &[("exec-delay", "24h")])).await.unwrap();
    // Twice as many as may be open at once. A status that is asked for later and answered tells that the command was begun, as a rule.
    let mut given_up = 0;
    within("all commands", async {
        while given_up < 256 {
            let (key, command) = (key("a"), ["sleep".to_owned()]);
            let command = Box::pin(mock.provider.run(&key, "main", &command));
            match select(command, Box::pin(mock.provider.status(&key))).await {
                Either::Right((status, command)) => {
                    status.unwrap();
                    drop(command);
                    given_up += 1;
                }
                Either::Left((Err(Error::Unavailable { message, .. }), _)) => {
                    assert!(message.contains("sessions are open"), "{message}");
                    tokio::task::yield_now().await;
                }
                Either::Left((other, _)) => panic!("a command of 24 hours has ended: {other:?}"),
            }
        }
    })
    .await;
    mock.event("the end of a command", |event| match event {
        ProviderEvent::PodEvent { reason, .. } if reason == "CommandAbandoned" => Some(()),
        _ => None,
    })
    .await;
    mock.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_ends_the_commands_that_run() {
    let mock = start(options("mock")).await;
    mock.provider.create(&plan("a", &[("exec-delay", "24h")])).await.unwrap();
    let (key, command, bomb) = (key("a"), ["sleep".to_owned()], plan("bomb", &[("fault", "trap")]));
    let (ended, crashed) = within("the crash", async {
        let crash = async {
            mock.provider.status(&key).await.unwrap();
            mock.provider.create(&bomb).await
        };
        futures::join!(mock.provider.run(&key, "main", &command), crash)
    })
    .await;
    assert!(matches!(crashed, Err(Error::Restarting(_))), "{crashed:?}");
    assert!(matches!(&ended, Err(Error::Restarting(message)) if message.contains("panicked at")), "{ended:?}");
    mock.stop().await;
}
