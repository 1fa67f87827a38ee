//! Logs as streams.

use futures::StreamExt as _;
use pluglet_model::provider::{Error, LogItem, Provider};

use crate::support::{key, options, phase, plan, start, within};

fn text(item: Option<Result<LogItem, Error>>) -> String {
    match item {
        Some(Ok(LogItem::Line { bytes, .. })) => String::from_utf8(bytes.to_vec()).unwrap(),
        Some(Ok(LogItem::CaughtUp)) => "caught up".to_owned(),
        other => panic!("not an item but {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_ends_by_itself_when_it_is_not_followed() {
    let mock = start(options("mock")).await;
    mock.provider.create(&plan("a", &[("log", "one\nstderr: two")])).await.unwrap();
    let items: Vec<_> = within("the log", mock.logs("a", false).await.unwrap().collect::<Vec<_>>()).await;
    let lines: Vec<(bool, String)> = items
        .into_iter()
        .map(|item| match item.unwrap() {
            LogItem::Line { stderr, bytes, time_unix_ns } => {
                assert!(time_unix_ns.is_some());
                (stderr, String::from_utf8(bytes.to_vec()).unwrap())
            }
            LogItem::CaughtUp => panic!("nobody followed"),
        })
        .collect();
    assert_eq!(lines, [(false, "one\n".to_owned()), (true, "two\n".to_owned())]);
    assert!(matches!(mock.logs("nobody", false).await, Err(Error::NotFound)));
    mock.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_followed_log_goes_on_and_ends_with_the_container() {
    let mut mock = start(options("mock")).await;
    mock.provider.create(&plan("a", &[("log", "begin"), ("log-every", "5ms")])).await.unwrap();
    let mut log = mock.logs("a", true).await.unwrap();
    assert_eq!(within("the first line", async { text(log.next().await) }).await, "begin\n");
    let mut ticks = 0;
    within("ticks", async {
        while ticks < 5 {
            ticks += usize::from(text(log.next().await).starts_with("tick "));
        }
    })
    .await;
    mock.provider.delete(&key("a"), std::time::Duration::ZERO).await.unwrap();
    within("the end", async { while log.next().await.is_some() {} }).await;
    mock.status_where("a", |status| phase(status) != "Running").await;
    mock.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leaving_a_followed_log_frees_its_place() {
    let mock = start(options("mock")).await;
    mock.provider.create(&plan("a", &[("log-every", "1ms")])).await.unwrap();
    // Twice as many as may be open at once: they can only all be opened when those that were left are closed.
    let mut open = 0;
    within("all logs", async {
        while open < 256 {
            match mock.logs("a", true).await {
                Ok(mut log) => {
                    text(log.next().await);
                    open += 1;
                }
                Err(Error::Unavailable { message, .. }) => {
                    assert!(message.contains("sessions are open"), "{message}");
                    tokio::task::yield_now().await;
                }
                Err(other) => panic!("{other}"),
            }
        }
    })
    .await;
    mock.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_makes_the_provider_wait_and_loses_nothing() {
    let mock = start(options("mock")).await;
    let lines: Vec<String> = (0..5000).map(|n| format!("line {n}")).collect();
    mock.provider.create(&plan("a", &[("log", &lines.join("\n"))])).await.unwrap();
    let mut log = mock.logs("a", false).await.unwrap();
    // While nobody reads, other calls go on.
    assert_eq!(phase(&mock.provider.status(&key("a")).await.unwrap()), "Running");
    for line in &lines {
        assert_eq!(within("a line", async { text(log.next().await) }).await, format!("{line}\n"));
    }
    assert!(log.next().await.is_none());
    mock.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_is_the_last_item_of_an_open_log() {
    let mock = start(options("mock")).await;
    mock.provider.create(&plan("a", &[("log", "begin")])).await.unwrap();
    let mut log = mock.logs("a", true).await.unwrap();
    assert_eq!(text(log.next().await), "begin\n");
    assert_eq!(text(log.next().await), "caught up");
    let crashed = mock.provider.create(&plan("bomb", &[("fault", "trap")])).await;
    assert!(matches!(crashed, Err(Error::Restarting(_))), "{crashed:?}");
    let last = within("the error", log.next()).await;
    assert!(matches!(&last, Some(Err(Error::Restarting(message))) if message.contains("panicked at")), "{last:?}");
    assert!(log.next().await.is_none());
    mock.stop().await;
}
