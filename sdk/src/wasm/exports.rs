//! The component's exports `lifecycle` and `events`, and the incarnation that all exports share.
//!
//! In: calls of the host. Out: calls of the author's provider. Invariant: the provider is there from a successful `start` on; a call
//! before that fails and does not trap.

use std::any::Any;
use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;
use std::time::Duration;

use wit_bindgen::StreamReader;

use super::bindings::exports::pluglet::provider::{events, lifecycle};
use super::bindings::pluglet::provider::types;
use super::bindings::wit_stream;
use super::imports::Backend;
use crate::{Error, Host, Provider, Result};

/// How many events go into one write of the stream.
const EVENTS_AT_ONCE: usize = 256;

/// The component that an author's provider becomes.
#[doc(hidden)]
pub struct Exported<P>(PhantomData<P>);

/// One start of the component.
struct Incarnation {
    host: Host,
    /// The author's provider. The type is known to [`Exported`] only, because a thread-local cannot be generic.
    provider: Rc<dyn Any>,
}

thread_local! {
    static INCARNATION: RefCell<Option<Incarnation>> = const { RefCell::new(None) };
}

impl<P: Provider> Exported<P> {
    /// The provider and its host.
    pub(super) fn current() -> Result<(Rc<P>, Host)> {
        let before_start = || Error::internal("the provider was called before it was started");
        INCARNATION.with_borrow(|incarnation| {
            let incarnation = incarnation.as_ref().ok_or_else(before_start)?;
            let provider = Rc::clone(&incarnation.provider).downcast::<P>();
            Ok((provider.map_err(|_| before_start())?, incarnation.host.clone()))
        })
    }
}

impl<P: Provider> lifecycle::Guest for Exported<P> {
    async fn start(init: lifecycle::Init) -> Result<lifecycle::Info, types::Error> {
        let host = Host::new(Backend);
        // Background tasks belong to this call's component task, which never ends. Each of them would otherwise end up in the task of
        // the call that spawned it and keep that call's resources.
        let tasks = host.clone();
        wit_bindgen::spawn_local(async move { tasks.tasks().run().await });
        let provider = P::start(host.clone(), init.into()).await?;
        let info = provider.info();
        INCARNATION.set(Some(Incarnation { host, provider: Rc::new(provider) }));
        Ok(info.into())
    }

    async fn stop(grace_ms: u64) -> Option<Vec<u8>> {
        let (provider, _) = Self::current().ok()?;
        provider.stop(Duration::from_millis(grace_ms)).await
    }
}

impl<P: Provider> events::Guest for Exported<P> {
    async fn watch() -> Result<StreamReader<events::Event>, types::Error> {
        let (_, host) = Self::current()?;
        let (mut writer, reader) = wit_stream::new::<events::Event>();
        let number = host.events().open();
        // In a task of its own, so that a busy provider and a slow host do not wait for each other's tasks.
        wit_bindgen::spawn_local(async move {
            while let Some(batch) = host.events().next_batch(number, EVENTS_AT_ONCE).await {
                let batch = batch.into_iter().map(events::Event::from).collect();
                // What is left was not taken: the host has closed the stream and lists all pods when it opens another.
                if !writer.write_all(batch).await.is_empty() {
                    break;
                }
            }
        });
        Ok(reader)
    }
}
