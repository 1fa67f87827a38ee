//! What the fuzzer does with what clients of sessions send (see `tests/fuzz`).
//!
//! In: anything. Out: nothing, or a panic where a rule is broken. Invariant: the same for the same bytes.

use tokio::io::{AsyncWriteExt, copy, duplex, sink, split};

use super::forwarding;
use super::target::Options;
use super::websocket::{self, Conversation, Form};

/// What a client sends once a WebSocket is open. The first byte says how channels are written.
pub(crate) fn websocket(bytes: &[u8]) {
    let Some((form, bytes)) = bytes.split_first() else { return };
    let form = if form % 2 == 0 { Form::Binary } else { Form::Base64 };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_time().build() else { return };
    runtime.block_on(async {
        let (client, io) = duplex(64 * 1024);
        let (mut hear, mut say) = split(client);
        let saying = async {
            // The conversation may be ended before all is said.
            say.write_all(bytes).await.ok();
            say.shutdown().await.ok();
        };
        let hearing = async { copy(&mut hear, &mut sink()).await.ok() };
        let reading = async { websocket::fuzz(Conversation::new(io, form).await, form).await };
        tokio::join!(saying, hearing, reading);
    });
}

/// The query of an exec and of a port-forward.
pub(crate) fn query(text: &str) {
    let options = Options::parse(text);
    let commands = url::form_urlencoded::parse(text.as_bytes()).filter(|(name, _)| name == "command").count();
    assert_eq!(options.command().map_or(0, |command| command.len()), commands);
    if let Ok(streams) = options.streams() {
        assert!(streams.stdin || streams.stdout || streams.stderr);
        assert!(!(streams.tty && streams.stderr));
    }
    if let Ok(ports) = forwarding::websocket_ports(text) {
        assert!(!ports.is_empty() && ports.iter().all(|port| *port > 0));
    }
}
