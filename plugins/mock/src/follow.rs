//! Reading a log, once or while it is written.
//!
//! In: log options. Out: a stream of lines. Invariant: a followed log ends when its run does, whether by itself, by an update or by the
//! deletion of the pod.

use std::rc::Rc;

use futures::channel::oneshot;
use futures::future::select;
use futures::stream;
use pluglet_sdk::{Error, LogItem, LogOptions, LogStream, LogWriter, Result};

use crate::life::{Doing, Run, moment};
use crate::logs::{Window, bulk, line, lines, next_line_ns};
use crate::pods::{Entry, Pods};
use crate::script::Script;

/// How many items wait for a reader before the writer waits for them.
const WAITING: usize = 64;

/// Open the log of a container.
pub(crate) fn logs(pods: &Rc<Pods>, uid: &str, options: &LogOptions) -> Result<LogStream> {
    let now_ns = pods.host.now_unix_ns();
    let (script, run) = pods.with(uid, |entry| find(entry, options, now_ns)).ok_or(Error::NotFound)??;
    let revealed = pods.with(uid, |entry| entry.reveal(&options.container)).flatten();
    let window = Window {
        after_ns: options.since_unix_ns.map(|since| since.saturating_sub(1)),
        until_ns: now_ns,
        most: options.tail_lines.map_or(usize::MAX, |tail| usize::try_from(tail).unwrap_or(usize::MAX)),
    };
    let mut present = lines(&script, &run, window);
    if let Some(text) = revealed.filter(|_| window.takes(run.started_ns, present.len())) {
        present.insert(0, line(run.started_ns, &text));
    }
    let present = present.into_iter().chain(bulk(script.clone(), &run));
    if !options.follow {
        return Ok(LogStream::new(stream::iter(present.map(|line| Ok(LogItem::Line(line))))));
    }
    let ended = pods.follow(uid, &options.container).ok_or(Error::NotFound)?;
    let (mut writer, log) = LogStream::channel(WAITING);
    let follower = Follower { pods: Rc::clone(pods), script, run, ended };
    pods.host.spawn(async move {
        for line in present {
            if !writer.send(LogItem::Line(line)).await {
                return;
            }
        }
        if writer.send(LogItem::CaughtUp).await {
            follower.follow(writer, now_ns).await;
        }
    });
    Ok(log)
}

/// The run whose log is wanted, with the script that writes it. Init containers write nothing.
fn find(entry: &Entry, options: &LogOptions, now_ns: u64) -> Result<(Script, Run)> {
    let record = &entry.record;
    if record.init_containers.iter().any(|container| container.name == options.container) {
        let started_ns = record.first_start_ns();
        let run = Run { attempt: 0, started_ns, ends_ns: Some(started_ns), exit_code: 0 };
        let started = now_ns >= started_ns && !options.previous;
        return if started { Ok((Script::default(), run)) } else { Err(Error::NotFound) };
    }
    let container = record.containers.iter().find(|container| container.name == options.container);
    let moment = moment(record, container.ok_or(Error::NotFound)?, entry.stage().stopping_ns(), now_ns);
    let run = match (options.previous, moment.doing) {
        (false, _) => moment.run,
        // As for the kubelet, the run that has just ended is the previous one until the next has begun.
        (true, Doing::BackOff { .. }) => moment.run,
        (true, _) => moment.previous,
    };
    Ok((record.script.clone(), run.ok_or(Error::NotFound)?))
}

/// Writes the lines of one run as their time comes.
struct Follower {
    pods: Rc<Pods>,
    script: Script,
    run: Run,
    /// Tells when the run is ended from outside.
    ended: oneshot::Receiver<u64>,
}

impl Follower {
    async fn follow(mut self, mut writer: LogWriter, from_ns: u64) {
        let mut written_ns = from_ns;
        loop {
            let now_ns = self.pods.host.now_unix_ns();
            let until_ns = self.run.ends_ns.map_or(now_ns, |end| end.min(now_ns));
            let window = Window { after_ns: Some(written_ns), until_ns, most: usize::MAX };
            for line in lines(&self.script, &self.run, window) {
                if !writer.send(LogItem::Line(line)).await {
                    return;
                }
            }
            written_ns = written_ns.max(until_ns);
            if self.run.ends_ns.is_some_and(|end| end <= now_ns) {
                return;
            }
            self.wait(now_ns).await;
        }
    }

    /// Wait for the next line or for the end of the run.
    async fn wait(&mut self, now_ns: u64) {
        let next_ns = next_line_ns(&self.script, &self.run, now_ns).or(self.run.ends_ns);
        let end = match next_ns {
            Some(next_ns) => match select(self.pods.wake_at(next_ns), &mut self.ended).await {
                futures::future::Either::Left(_) => return,
                futures::future::Either::Right((end, _)) => end,
            },
            None => (&mut self.ended).await,
        };
        // A sender that is gone means that the provider is: nothing more will be written either.
        let end_ns = end.unwrap_or(now_ns);
        self.run.ends_ns = Some(self.run.ends_ns.map_or(end_ns, |end| end.min(end_ns)));
    }
}
