//! A pod and a client for tests of what a node serves.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{FutureExt, SinkExt, StreamExt, stream};
use k8s_openapi::api::core::v1::PodStatus;
use pluglet_model::provider::{Error, Health, LogRequest, LogStream, Provider};
use pluglet_model::session::{ExecRequest, Forward, Session, SessionInput};
use pluglet_model::{PodKey, PodPlan};
use pluglet_spdy::Headers;
use pluglet_spdy::frame::{Frame, FrameDecoder, FrameEncoder};
use tokio::io::{DuplexStream, ReadHalf, WriteHalf, duplex};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::codec::{FramedRead, FramedWrite};

/// A pod that says "bye", closes its side at once, and reads on.
#[derive(Default)]
pub(in crate::kubelet) struct Pod {
    /// What it has read until the client's end.
    pub(super) read: Arc<Mutex<Option<Vec<u8>>>>,
    /// It refuses connections.
    pub(super) refuses: bool,
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
    /// Says what is typed, complains once, and ends with 3 when nothing more is typed.
    async fn exec(&self, _: &PodKey, _: ExecRequest, input: SessionInput) -> Result<Session, Error> {
        let (over, ended) = oneshot::channel();
        let typed = stream::unfold((input.stdin, Some(over)), |(mut stdin, mut over)| async move {
            let bytes = stdin.recv().await;
            if bytes.is_none() {
                over.take().map(|over: oneshot::Sender<()>| over.send(()).ok());
            }
            bytes.map(|bytes| (bytes, (stdin, over)))
        });
        Ok(Session {
            stdout: typed.boxed(),
            stderr: stream::iter([Bytes::from("err")]).boxed(),
            exit: ended.map(|_| Ok(3)).boxed(),
        })
    }
    async fn stop(&self, _: Duration) {}
}

/// Bytes on a stream.
pub(super) fn data(stream: u32, text: impl Into<Bytes>, fin: bool) -> Frame {
    Frame::Data { stream, fin, bytes: text.into() }
}

/// The client's side of a SPDY connection.
pub(super) struct Client {
    read: FramedRead<ReadHalf<DuplexStream>, FrameDecoder>,
    write: FramedWrite<WriteHalf<DuplexStream>, FrameEncoder>,
}

impl Client {
    pub(super) fn new() -> (Self, DuplexStream) {
        let (ours, theirs) = duplex(64 * 1024);
        let (read, write) = tokio::io::split(ours);
        let client = Self {
            read: FramedRead::new(read, FrameDecoder::default()),
            write: FramedWrite::new(write, FrameEncoder::default()),
        };
        (client, theirs)
    }

    pub(super) async fn say(&mut self, frame: Frame) {
        self.write.send(frame).await.unwrap();
    }

    pub(super) async fn hear(&mut self) -> Frame {
        self.read.next().await.unwrap().unwrap()
    }

    pub(super) async fn open(&mut self, stream: u32, kind: &str) {
        let headers = [("streamtype", kind), ("port", "80"), ("requestid", "0")].into_iter().collect();
        self.say(Frame::SynStream { stream, fin: false, headers }).await;
        assert_eq!(self.hear().await, Frame::SynReply { stream, fin: false, headers: Headers::default() });
    }

    pub(super) async fn data(&mut self, stream: u32, text: &'static str, fin: bool) {
        self.say(data(stream, text, fin)).await;
    }
}
