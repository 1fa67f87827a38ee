//! The functions that a component exports, ready to be called.
//!
//! In: an instance; requests. Out: answers, through the requests' own senders. Invariant: every function of the contract that the host calls is
//! here, each with a deadline that the guest can ask for; an error of wasmtime means that the store is gone.
//!
//! The functions are looked up by hand, because the generated ones do not tell which task a call became, and without that nobody
//! could say whose deadline an import asks for.

pub(crate) mod containers;

use std::time::Instant;

use wasmtime::Store;
use wasmtime::component::{
    Accessor, ComponentNamedList, ComponentType, FutureReader, Instance, Lift, Lower, StreamReader,
};

use crate::bindings::exports::pluglet::provider::{events as wit_events, lifecycle, pods, sessions, stats};
use crate::bindings::pluglet::provider::types::{Error, PodRef};
use crate::call::{Reply, Request};
use crate::calls::{Export, call, export};
use crate::events;
use crate::pump::{FromChunks, Pump};
use crate::sessions::SessionSink;
use crate::state::State;
use containers::ContainerExports;

/// `result<T, error>` of an exported function.
type Fallible<P, T> = Export<P, Result<T, Error>>;

/// An open log: its lines, and how it ended.
type Log = (StreamReader<sessions::LogItem>, FutureReader<Result<(), Error>>);

/// A command that runs: its output, and its exit code.
type Session = (StreamReader<u8>, StreamReader<u8>, FutureReader<Result<i32, Error>>);

/// What a command is started with: which, where, and what its user types.
type Exec = (PodRef, sessions::ExecRequest, StreamReader<u8>, StreamReader<sessions::TerminalSize>);

/// What is attached to, and what its user types.
type Attach = (PodRef, String, StreamReader<u8>, StreamReader<sessions::TerminalSize>);

/// A connection to a port: its bytes, and how it ended.
type Forward = (StreamReader<u8>, FutureReader<Result<(), Error>>);

/// What the host calls.
pub(crate) struct Exports {
    start: Fallible<(lifecycle::Init,), lifecycle::Info>,
    stop: Export<(u64,), Option<Vec<u8>>>,
    watch: Fallible<(), StreamReader<wit_events::Event>>,
    create: Fallible<(PodRef, pods::ResolvedPod), String>,
    update: Fallible<(PodRef, pods::ResolvedPod), String>,
    volumes_changed: Fallible<(PodRef, Vec<pods::Volume>), ()>,
    restart_container: Fallible<(PodRef, String, u32), ()>,
    delete: Fallible<(PodRef, u32), ()>,
    status: Fallible<(PodRef,), String>,
    list: Fallible<(), Vec<(PodRef, String)>>,
    logs: Fallible<(PodRef, sessions::LogOptions), Log>,
    exec: Fallible<Exec, Session>,
    attach: Fallible<Attach, Session>,
    port_forward: Fallible<(PodRef, u16, StreamReader<u8>), Forward>,
    stats: Fallible<(), Vec<stats::PodStats>>,
    containers: ContainerExports,
}

impl Exports {
    /// Those of an instance. That they are there with these types was checked when it was linked.
    pub(crate) fn of(store: &mut Store<State>, instance: &Instance) -> wasmtime::Result<Self> {
        const VERSION: &str = "@0.1.0";
        let named = |interface: &str| format!("pluglet:provider/{interface}{VERSION}");
        let (lifecycle, pods, sessions) = (named("lifecycle"), named("pods"), named("sessions"));
        Ok(Self {
            start: export(store, instance, &lifecycle, "start")?,
            stop: export(store, instance, &lifecycle, "stop")?,
            watch: export(store, instance, &named("events"), "watch")?,
            create: export(store, instance, &pods, "create")?,
            update: export(store, instance, &pods, "update")?,
            volumes_changed: export(store, instance, &pods, "volumes-changed")?,
            restart_container: export(store, instance, &pods, "restart-container")?,
            delete: export(store, instance, &pods, "delete")?,
            status: export(store, instance, &pods, "status")?,
            list: export(store, instance, &pods, "list")?,
            logs: export(store, instance, &sessions, "logs")?,
            exec: export(store, instance, &sessions, "exec")?,
            attach: export(store, instance, &sessions, "attach")?,
            port_forward: export(store, instance, &sessions, "port-forward")?,
            stats: export(store, instance, &named("stats"), "pods")?,
            containers: ContainerExports::of(store, instance, &named("containers"))?,
        })
    }

    /// Call the function and send its answer; gives back how it went, in a word for metrics.
    pub(crate) async fn answer(
        &self,
        accessor: &Accessor<State>,
        request: Request,
        deadline: Instant,
    ) -> wasmtime::Result<&'static str> {
        match request {
            Request::Start { init, reply } => pass(accessor, &self.start, (init,), deadline, reply).await,
            Request::Stop { grace_ms, reply } => {
                let left = call(accessor, &self.stop, (grace_ms,), deadline).await?;
                drop(reply.send(Ok(left)));
                Ok("ok")
            }
            Request::Create { pod, spec, reply } => pass(accessor, &self.create, (pod, spec), deadline, reply).await,
            Request::Update { pod, spec, reply } => pass(accessor, &self.update, (pod, spec), deadline, reply).await,
            Request::VolumesChanged { pod, volumes, reply } => {
                pass(accessor, &self.volumes_changed, (pod, volumes), deadline, reply).await
            }
            Request::RestartContainer { pod, container, grace_seconds, reply } => {
                pass(accessor, &self.restart_container, (pod, container, grace_seconds), deadline, reply).await
            }
            Request::Delete { pod, grace_seconds, reply } => {
                pass(accessor, &self.delete, (pod, grace_seconds), deadline, reply).await
            }
            Request::Status { pod, reply } => pass(accessor, &self.status, (pod,), deadline, reply).await,
            Request::List { reply } => pass(accessor, &self.list, (), deadline, reply).await,
            Request::Watch { sink, reply } => {
                let opened = call(accessor, &self.watch, (), deadline).await?;
                send(reply, opened, |stream| {
                    accessor.with(|access| stream.pipe(access, Pump::new(sink, events::BATCH, events::bounded, ())))
                })
            }
            Request::Logs { pod, options, sink, reply } => {
                let opened = call(accessor, &self.logs, (pod, options), deadline).await?;
                send(reply, opened, |(stream, outcome)| accessor.with(|access| sink.connect(access, stream, outcome)))
            }
            Request::Exec { pod, request, input, sink, reply } => {
                let (stdin, resize) = accessor.with(|access| crate::sessions::input(access, input))?;
                let opened = call(accessor, &self.exec, (pod, request, stdin, resize), deadline).await?;
                open_session(accessor, reply, opened, sink)
            }
            Request::Attach { pod, container, input, sink, reply } => {
                let (stdin, resize) = accessor.with(|access| crate::sessions::input(access, input))?;
                let opened = call(accessor, &self.attach, (pod, container, stdin, resize), deadline).await?;
                open_session(accessor, reply, opened, sink)
            }
            Request::PortForward { pod, port, input, sink, reply } => {
                let input = accessor.with(|access| StreamReader::new(access, FromChunks::new(input)))?;
                let opened = call(accessor, &self.port_forward, (pod, port, input), deadline).await?;
                send(reply, opened, |(output, end)| accessor.with(|access| sink.connect(access, output, end)))
            }
            Request::Stats { reply } => pass(accessor, &self.stats, (), deadline, reply).await,
            Request::Containers(request) => self.containers.answer(accessor, request, deadline).await,
        }
    }
}

/// Open a session and say that it is open.
fn open_session(
    accessor: &Accessor<State>,
    reply: Reply<()>,
    opened: Result<Session, Error>,
    sink: SessionSink,
) -> wasmtime::Result<&'static str> {
    send(reply, opened, |(stdout, stderr, exit)| accessor.with(|access| sink.connect(access, stdout, stderr, exit)))
}

/// Call and send the answer as it is.
async fn pass<P, T>(
    accessor: &Accessor<State>,
    function: &Fallible<P, T>,
    arguments: P,
    deadline: Instant,
    reply: Reply<T>,
) -> wasmtime::Result<&'static str>
where
    P: ComponentNamedList + Lower + Send + Sync + 'static,
    T: 'static,
    Result<T, Error>: ComponentType + Lift + Send + Sync + 'static,
{
    let answer = call(accessor, function, arguments, deadline).await?;
    let outcome = word(&answer);
    // A caller that has given up is not an error.
    drop(reply.send(answer));
    Ok(outcome)
}

/// Open a stream and say that it is open.
fn send<T>(
    reply: Reply<()>,
    opened: Result<T, Error>,
    connect: impl FnOnce(T) -> wasmtime::Result<()>,
) -> wasmtime::Result<&'static str> {
    let outcome = word(&opened);
    let answer = match opened {
        Ok(stream) => Ok(connect(stream)?),
        Err(error) => Err(error),
    };
    drop(reply.send(answer));
    Ok(outcome)
}

fn word<T>(answer: &Result<T, Error>) -> &'static str {
    match answer {
        Ok(_) => "ok",
        Err(Error::NotFound) => "not-found",
        Err(Error::AlreadyExists) => "already-exists",
        Err(Error::Unsupported(_)) => "unsupported",
        Err(Error::Invalid(_)) => "invalid",
        Err(Error::Denied(_)) => "denied",
        Err(Error::Unavailable(_)) => "unavailable",
        Err(Error::Quota(_)) => "quota",
        Err(Error::Internal(_)) => "internal",
        Err(Error::Other(_)) => "other",
    }
}
