//! Port-forward over SPDY, with the client and the pod played by the test; time is paused.

use std::sync::Arc;

use pluglet_model::PodKey;
use pluglet_spdy::Reset;
use pluglet_spdy::frame::Frame;
use tokio::time::Instant;

use super::super::fake::{Client, Pod, data};
use super::{Forwarding, run};

/// A client, and what must be polled to serve it.
fn connect(pod: Pod) -> (Client, impl Future<Output = ()>) {
    let (client, theirs) = Client::new();
    let forwarding = Forwarding { provider: Arc::new(pod), key: PodKey::new("u", "n", "p") };
    (client, run(theirs, forwarding))
}

#[tokio::test(start_paused = true)]
async fn each_side_ends_by_itself_and_what_is_sent_after_the_others_end_arrives() {
    let pod = Pod::default();
    let read = pod.read.clone();
    let (mut client, served) = connect(pod);
    let talk = async {
        client.open(1, "error").await;
        client.open(3, "data").await;
        assert_eq!(client.hear().await, data(3, "bye", false));
        assert_eq!(client.hear().await, data(3, "", true), "before the client has said anything");
        client.data(3, "late", true).await;
        assert_eq!(client.hear().await, data(1, "", true));
        assert_eq!(read.lock().unwrap().as_deref(), Some(&b"late"[..]));
        drop(client);
    };
    tokio::join!(talk, served);
}

#[tokio::test(start_paused = true)]
async fn a_reset_ends_the_connection_and_not_the_others() {
    let pod = Pod::default();
    let read = pod.read.clone();
    let (mut client, served) = connect(pod);
    let talk = async {
        client.open(1, "error").await;
        client.open(3, "data").await;
        client.hear().await;
        client.hear().await;
        client.say(Frame::RstStream { stream: 3, status: Reset::Cancel as u32 }).await;
        assert_eq!(client.hear().await, data(1, "", true));
        assert_eq!(*read.lock().unwrap(), None, "it was given up, not finished");
        client.say(Frame::Ping(1)).await;
        assert_eq!(client.hear().await, Frame::Ping(1));
        drop(client);
    };
    tokio::join!(talk, served);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_fails_says_why_and_is_reset() {
    let (mut client, served) = connect(Pod { refuses: true, ..Pod::default() });
    let talk = async {
        client.open(1, "error").await;
        client.open(3, "data").await;
        let Frame::Data { stream: 1, bytes, .. } = client.hear().await else { panic!("no reason") };
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        assert_eq!(text, "error forwarding port 80 to pod p, uid u: the backend is unavailable: refused");
        for stream in [1, 3] {
            assert_eq!(client.hear().await, Frame::RstStream { stream, status: Reset::Cancel as u32 });
        }
        drop(client);
    };
    tokio::join!(talk, served);
}

#[tokio::test(start_paused = true)]
async fn half_a_pair_is_given_up_after_30_s() {
    let (mut client, served) = connect(Pod::default());
    let talk = async {
        client.open(1, "error").await;
        let begin = Instant::now();
        let Frame::Data { stream: 1, bytes, .. } = client.hear().await else { panic!("no reason") };
        assert!(String::from_utf8_lossy(&bytes).contains("timed out"), "{bytes:?}");
        assert_eq!(begin.elapsed().as_secs(), 30);
        drop(client);
    };
    tokio::join!(talk, served);
}
