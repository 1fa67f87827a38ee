//! Which call of the host a guest is working on.
//!
//! In: calls that begin and end. Out: for an import, how long the call has left on whose behalf it was made. Invariant: an entry lives exactly as
//! long as its call is inside; what a guest does in the background belongs to no call.

use std::collections::HashMap;

use std::time::Instant;

use wasmtime::AsContextMut;
use wasmtime::component::{Accessor, ComponentNamedList, ComponentType, GuestTaskId, Instance, Lift, Lower, TypedFunc};

use crate::state::State;

/// The calls inside one store.
#[derive(Default)]
pub(crate) struct Calls(HashMap<GuestTaskId, Instant>);

impl Calls {
    /// Milliseconds until the first of these tasks that is a call of the host is given up; None when none is.
    pub(crate) fn remaining_ms(&self, tasks: impl Iterator<Item = GuestTaskId>) -> Option<u64> {
        let deadline = tasks.filter_map(|task| self.0.get(&task)).next()?;
        let left = deadline.saturating_duration_since(Instant::now());
        Some(u64::try_from(left.as_millis()).unwrap_or(u64::MAX))
    }
}

/// A function that the component exports.
pub(crate) type Export<P, R> = TypedFunc<P, (R,)>;

/// Looks up a function of one of the contract's interfaces.
pub(crate) fn export<P, R>(
    store: &mut impl AsContextMut<Data = State>,
    instance: &Instance,
    interface: &str,
    function: &str,
) -> wasmtime::Result<Export<P, R>>
where
    P: ComponentNamedList + Lower + Send + Sync + 'static,
    R: ComponentType + Lift + Send + Sync + 'static,
{
    let missing = || wasmtime::Error::msg(format!("{interface}.{function} is not exported"));
    let interface = instance.get_export_index(&mut *store, None, interface).ok_or_else(missing)?;
    let function = instance.get_export_index(&mut *store, Some(&interface), function).ok_or_else(missing)?;
    instance.get_typed_func(&mut *store, function)
}

/// Calls it, with a deadline that the guest can ask for.
pub(crate) async fn call<P, R>(
    accessor: &Accessor<State>,
    function: &Export<P, R>,
    arguments: P,
    deadline: Instant,
) -> wasmtime::Result<R>
where
    P: ComponentNamedList + Lower + Send + Sync + 'static,
    R: ComponentType + Lift + Send + Sync + 'static,
{
    let (call, task) = accessor.with(|mut access| {
        let call = function.start_call_concurrent(&mut access, arguments)?;
        let task = call.task();
        access.get().calls.0.insert(task, deadline);
        Ok::<_, wasmtime::Error>((call, task))
    })?;
    // On an error the store is gone, with the entry.
    let (answer,) = function.finish_call_concurrent(accessor, call).await?;
    accessor.with(|mut access| access.get().calls.0.remove(&task));
    Ok(answer)
}
