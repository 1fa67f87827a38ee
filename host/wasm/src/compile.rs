//! Compiling, where it can do no harm.
//!
//! In: a component's bytes. Out: native code. Invariant: the compiler runs in a process of its own whose memory, CPU time and files are limited
//! by the kernel; a component that makes it explode takes that process down and nothing else. (wasmtime does not count what happens
//! while compiling as a vulnerability: it is for the embedder to bound.)
//!
//! The process is this program again, called as `PROGRAM compile-component MEMORY-BYTES CPU-SECONDS`; the component comes in on standard
//! input, the code goes out on standard output, an error on standard error.

use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::capabilities::log::clean;
use crate::engine;
use crate::limits::Limits;

/// The word that makes a program a compiler. A program that calls [`main`] must look for it before anything else.
pub const COMMAND: &str = "compile-component";

/// Largest native code that is taken; it is held in memory once. A component has about three times its size.
const MAX_CODE_BYTES: u64 = 256 << 20;

/// Where a container's own memory limit stands (cgroup v2).
const CONTAINER_LIMIT: &str = "/sys/fs/cgroup/memory.max";

/// The least that a compiler gets in a small container: enough for every component of the usual size.
const LEAST_MEMORY: u64 = 256 << 20;

/// Bytes of the compiler's last words that are kept.
const MAX_WORDS: usize = 2 << 10;

/// Signals by which the kernel ends a process: too much CPU time, and what the allocator does without memory.
const SIGXCPU: i32 = 24;
const SIGABRT: i32 = 6;
const SIGKILL: i32 = 9;

/// Why there is no code.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The program cannot be run.
    #[error("cannot run the compiler {0}")]
    Run(String, #[source] std::io::Error),
    /// Reading or writing its pipes failed.
    #[error("cannot talk to the compiler")]
    Talk(#[source] std::io::Error),
    /// It used up its time.
    #[error("compiling took more than {0:?} (limits.compileTime)")]
    Time(Duration),
    /// Somebody else ended it, as the kernel does when the machine's or the container's memory runs out.
    #[error("the compiler was killed, probably for want of memory (limits.compileMemory, or the container's limit)")]
    Killed,
    /// It used up its memory.
    #[error("compiling needs more than {} MiB of memory (limits.compileMemory)", .0 >> 20)]
    Memory(u64),
    /// More code than anybody needs.
    #[error("the compiled component has more than {MAX_CODE_BYTES} bytes")]
    TooLarge,
    /// wasmtime refuses the component.
    #[error("{0}")]
    Refused(String),
}

/// Compile in a process of its own.
///
/// # Errors
/// See [`CompileError`].
pub(crate) async fn compile(program: &Path, bytes: &[u8], limits: &Limits) -> Result<Vec<u8>, CompileError> {
    let memory = within_container(limits.compile_memory_bytes, &std::fs::read_to_string(CONTAINER_LIMIT));
    let child = Command::new(program)
        .arg(COMMAND)
        .arg(memory.to_string())
        .arg(limits.compile.as_secs().max(1).to_string())
        // Whatever the host's environment holds, the compiler has no use for it.
        .env_clear()
        // The allocator's arenas are address space that nobody uses, 64 MiB for each thread.
        .env("MALLOC_ARENA_MAX", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|source| CompileError::Run(program.display().to_string(), source))?;
    // By the clock twice the CPU time: a busy machine is not the component's fault. Dropping the child ends it.
    match timeout(limits.compile * 2, converse(child, bytes)).await {
        Ok(outcome) => {
            let (status, code, words) = outcome?;
            judge(status, code, &words, limits.compile, memory)
        }
        Err(_) => Err(CompileError::Time(limits.compile)),
    }
}

async fn converse(mut child: Child, bytes: &[u8]) -> Result<(ExitStatus, Vec<u8>, Vec<u8>), CompileError> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(mut stdin), Some(stdout), Some(stderr)) = (stdin, stdout, stderr) else {
        return Err(CompileError::Talk(std::io::ErrorKind::BrokenPipe.into()));
    };
    let (mut code, mut words) = (Vec::new(), Vec::new());
    let write = async {
        // A compiler that ends early says why on its standard error.
        let _ = stdin.write_all(bytes).await;
        drop(stdin);
    };
    let mut stdout = stdout.take(MAX_CODE_BYTES + 1);
    let mut stderr = stderr.take(MAX_WORDS as u64);
    let (_, read, heard) = tokio::join!(write, stdout.read_to_end(&mut code), stderr.read_to_end(&mut words));
    read.and(heard).map_err(CompileError::Talk)?;
    if code.len() as u64 > MAX_CODE_BYTES {
        return Err(CompileError::TooLarge);
    }
    let status = child.wait().await.map_err(CompileError::Talk)?;
    Ok((status, code, words))
}

/// The operator's limit, or half of what the container has: the kernel ends a whole container when its memory runs out, this process with it.
fn within_container(limit: u64, told: &std::io::Result<String>) -> u64 {
    let container = told.as_ref().ok().and_then(|text| text.trim().parse::<u64>().ok());
    container.map_or(limit, |container| limit.min((container / 2).max(LEAST_MEMORY)))
}

fn judge(
    status: ExitStatus,
    code: Vec<u8>,
    words: &[u8],
    time: Duration,
    memory: u64,
) -> Result<Vec<u8>, CompileError> {
    if status.success() {
        return Ok(code);
    }
    let words = clean(String::from_utf8_lossy(words).trim(), MAX_WORDS);
    match status.signal() {
        Some(SIGXCPU) => Err(CompileError::Time(time)),
        Some(SIGKILL) => Err(CompileError::Killed),
        // Rust's allocator says "memory allocation of … bytes failed" and aborts.
        Some(SIGABRT) => Err(CompileError::Memory(memory)),
        _ if words.contains("Cannot allocate memory") => Err(CompileError::Memory(memory)),
        _ if words.is_empty() => Err(CompileError::Refused(format!("the compiler ended with {status} and no word"))),
        _ => Err(CompileError::Refused(words)),
    }
}

/// The compiler's side: `arguments` are those after [`COMMAND`].
#[must_use]
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    match work(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            // Nobody may be listening any more.
            let _ = writeln!(std::io::stderr(), "{message}");
            ExitCode::FAILURE
        }
    }
}

fn work(arguments: impl Iterator<Item = OsString>) -> Result<(), String> {
    let numbers: Vec<u64> = arguments.filter_map(|argument| argument.to_str()?.parse().ok()).collect();
    let [memory, seconds] = numbers.as_slice() else {
        return Err(format!("usage: {COMMAND} MEMORY-BYTES CPU-SECONDS < component > code"));
    };
    for (resource, limit) in [
        (Resource::As, *memory),
        (Resource::Cpu, *seconds),
        // It writes to a pipe; it has no business with files, and its memory is not for the disk.
        (Resource::Fsize, 0),
        (Resource::Core, 0),
    ] {
        // At the first limit of CPU time comes a signal that says so, at the second the end; for the others there is no difference.
        let limits = Rlimit { current: Some(limit), maximum: Some(limit.saturating_add(1)) };
        setrlimit(resource, limits).map_err(|error| format!("cannot limit the compiler: {error}"))?;
    }
    let mut component = Vec::new();
    std::io::stdin().lock().read_to_end(&mut component).map_err(|error| format!("cannot read: {error}"))?;
    let engine = engine::for_compiling().map_err(|error| error.to_string())?;
    let code = engine.precompile_component(&component).map_err(|error| format!("{error:#}"))?;
    std::io::stdout().lock().write_all(&code).map_err(|error| format!("cannot write: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_a_container_the_compiler_leaves_half_of_the_memory() {
        let told = |text: &str| Ok(text.to_owned());
        assert_eq!(within_container(4 << 30, &told("1073741824\n")), 512 << 20);
        assert_eq!(within_container(4 << 30, &told("134217728\n")), LEAST_MEMORY);
        assert_eq!(within_container(4 << 30, &told("max\n")), 4 << 30);
        assert_eq!(within_container(4 << 30, &Err(std::io::ErrorKind::NotFound.into())), 4 << 30);
        assert_eq!(within_container(300 << 20, &told("8589934592\n")), 300 << 20);
    }
}
