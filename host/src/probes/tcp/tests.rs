//! Against sockets of this machine.

use std::time::Duration;

use tokio::net::TcpListener;

use super::*;

async fn probe(reach: &Reach, port: u16) -> Outcome {
    connect(reach, "127.0.0.1", port, Deadline::after(Duration::from_secs(10))).await
}

#[tokio::test]
async fn an_open_port_is_a_success_and_a_closed_one_a_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    assert_eq!(probe(&Reach::new(true), port).await, Outcome::Success);
    drop(listener);
    let Outcome::Failure { output } = probe(&Reach::new(true), port).await else { panic!("it was open") };
    assert!(output.starts_with(&format!("dial tcp 127.0.0.1:{port}: ")), "{output}");
}

#[tokio::test]
async fn a_forbidden_address_says_nothing_about_the_container() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    assert_eq!(
        probe(&Reach::new(false), listener.local_addr().unwrap().port()).await,
        Outcome::Unknown { error: "127.0.0.1 is a loopback address, where no probe may go".to_owned() }
    );
}
