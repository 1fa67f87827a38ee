//! Runs the provider's futures in the test's thread.
//!
//! In: calls and background tasks. Out: their results. Invariant: when a call can only go on later, the clock is moved to the next
//! moment at which something happens, and no further.

use std::cell::RefCell;
use std::rc::Rc;

use futures::executor::{LocalPool, LocalSpawner};
use futures::future::RemoteHandle;
use futures::task::LocalSpawnExt;

use super::World;
use crate::{Error, Result};

/// A call that is under way.
pub struct Pending<T> {
    result: Rc<RefCell<Option<T>>>,
    _task: RemoteHandle<()>,
}

impl<T> Pending<T> {
    /// The result, once. None while the call is under way.
    #[must_use]
    pub fn take(&self) -> Option<T> {
        self.result.borrow_mut().take()
    }
}

/// The thread's executor.
pub(super) struct Executor {
    pool: RefCell<LocalPool>,
    spawner: LocalSpawner,
    world: World,
}

impl Executor {
    pub(super) fn new(world: World) -> Self {
        let pool = LocalPool::new();
        let spawner = pool.spawner();
        Self { pool: RefCell::new(pool), spawner, world }
    }

    /// Start a future and let everything run as far as it goes without time passing.
    pub(super) fn begin<T: 'static>(&self, future: impl Future<Output = T> + 'static) -> Result<Pending<T>> {
        let result = Rc::new(RefCell::new(None));
        let slot = Rc::clone(&result);
        let task = async move {
            let value = future.await;
            *slot.borrow_mut() = Some(value);
        };
        let task = self.spawner.spawn_local_with_handle(task).map_err(|error| Error::internal(error.to_string()))?;
        self.settle();
        Ok(Pending { result, _task: task })
    }

    /// Run a future to its end, moving the clock where it waits.
    pub(super) fn finish<T: 'static>(&self, future: impl Future<Output = Result<T>> + 'static) -> Result<T> {
        let pending = self.begin(future)?;
        loop {
            if let Some(result) = pending.take() {
                return result;
            }
            let next = self.world.clock().next_wake_ns();
            let next = next.ok_or_else(|| Error::internal("the call waits for something that never happens"))?;
            self.world.clock().move_to(next);
            self.settle();
        }
    }

    /// Move the clock step by step, so that everything happens at its time.
    pub(super) fn advance_to(&self, until_ns: u64) {
        self.settle();
        while let Some(next) = self.world.clock().next_wake_ns().filter(|next| *next <= until_ns) {
            self.world.clock().move_to(next);
            self.settle();
        }
        self.world.clock().move_to(until_ns);
        self.settle();
    }

    /// Run until everything waits.
    pub(super) fn settle(&self) {
        self.pool.borrow_mut().run_until_stalled();
    }
}
