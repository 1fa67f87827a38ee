//! Credentials against real servers on loopback.

// Said on each, so that the lints see helpers as tests too.
#[cfg(test)]
mod expiry;
#[cfg(test)]
mod failures;
#[cfg(test)]
mod files;
#[cfg(test)]
mod mtls;
#[cfg(test)]
mod redaction;
#[cfg(test)]
mod requests;
#[cfg(test)]
mod support;
