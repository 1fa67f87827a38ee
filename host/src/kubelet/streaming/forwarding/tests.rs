//! Port-forward over SPDY, with the client and the pod played by the test; time is paused.

use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use futures::{FutureExt, SinkExt, stream};
use k8s_openapi::api::core::v1::PodStatus;
use pluglet_model::PodPlan;
use pluglet_model::provider::{Health, LogRequest, LogStream};
use pluglet_spdy::frame::{Frame, FrameDecoder, FrameEncoder};
use pluglet_spdy::{Headers, Reset};
use tokio::io::{DuplexStream, ReadHalf, WriteHalf, duplex};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::codec::{FramedRead, FramedWrite};

use super::*;

/// A pod that says "bye", closes its side at once, and reads on.
#[derive(Default)]
struct Pod {
    /// What it has read until the client's end.
    read: Arc<Mutex<Option<Vec<u8>>>>,
    /// It refuses connections.
    refuses: bool,
}

#[async_trait]
impl Provider for Pod {
    fn health(&self) -> watch::Receiver<Health> {
        watch::channel(Health::default()).1
    }
    async fn create(&self, _: &PodPlan) -> Result<PodStatus, Error> {
        Err(Error::NotFound)
    }
    async fn update(&self, _: &PodPlan) -> Result<PodStatus, Error> {
        Err(Error::NotFound)
    }
    async fn delete(&self, _: &PodKey, _: Duration) -> Result<(), Error> {
        Err(Error::NotFound)
    }
    async fn status(&self, _: &PodKey) -> Result<PodStatus, Error> {
        Err(Error::NotFound)
    }
    async fn list(&self) -> Result<Vec<(PodKey, PodStatus)>, Error> {
        Err(Error::NotFound)
    }
    async fn logs(&self, _: &PodKey, _: LogRequest) -> Result<LogStream, Error> {
        Err(Error::NotFound)
    }
    async fn port_forward(&self, _: &PodKey, _: u16, mut input: mpsc::Receiver<Bytes>) -> Result<Forward, Error> {
        if self.refuses {
            return Err(Error::Unavailable { message: "refused".to_owned(), retry_after: None });
        }
        let read = self.read.clone();
        let end = async move {
            let mut all = vec![];
            while let Some(bytes) = input.recv().await {
                all.extend_from_slice(&bytes);
            }
            *read.lock().unwrap() = Some(all);
            Ok(())
        };
        Ok(Forward { output: stream::iter([Bytes::from("bye")]).boxed(), end: end.boxed() })
    }
    async fn stop(&self, _: Duration) {}
}

struct Client {
    read: FramedRead<ReadHalf<DuplexStream>, FrameDecoder>,
    write: FramedWrite<WriteHalf<DuplexStream>, FrameEncoder>,
}

impl Client {
    /// A client, and what must be polled to serve it.
    fn connect(pod: Pod) -> (Self, impl Future<Output = ()>) {
        let (ours, theirs) = duplex(64 * 1024);
        let forwarding = Forwarding { provider: Arc::new(pod), key: PodKey::new("u", "n", "p") };
        let (read, write) = tokio::io::split(ours);
        let client = Self {
            read: FramedRead::new(read, FrameDecoder::default()),
            write: FramedWrite::new(write, FrameEncoder::default()),
        };
        (client, run(theirs, forwarding))
    }

    async fn say(&mut self, frame: Frame) {
        self.write.send(frame).await.unwrap();
    }

    async fn hear(&mut self) -> Frame {
        self.read.next().await.unwrap().unwrap()
    }

    async fn open(&mut self, stream: u32, kind: &str) {
        let headers = [("streamtype", kind), ("port", "80"), ("requestid", "0")].into_iter().collect();
        self.say(Frame::SynStream { stream, fin: false, headers }).await;
        assert_eq!(self.hear().await, Frame::SynReply { stream, fin: false, headers: Headers::default() });
    }

    async fn data(&mut self, stream: u32, text: &'static str, fin: bool) {
        self.say(Frame::Data { stream, fin, bytes: text.into() }).await;
    }
}

fn data(stream: u32, text: &'static str, fin: bool) -> Frame {
    Frame::Data { stream, fin, bytes: text.into() }
}

#[tokio::test(start_paused = true)]
async fn each_side_ends_by_itself_and_what_is_sent_after_the_others_end_arrives() {
    let pod = Pod::default();
    let read = pod.read.clone();
    let (mut client, served) = Client::connect(pod);
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
    let (mut client, served) = Client::connect(pod);
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
    let (mut client, served) = Client::connect(Pod { refuses: true, ..Pod::default() });
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
    let (mut client, served) = Client::connect(Pod::default());
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
