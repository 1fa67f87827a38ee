//! The way out against real servers on loopback.

// Said on each, so that the lints see helpers as tests too.
#[cfg(test)]
mod addresses;
#[cfg(test)]
mod bodies;
#[cfg(test)]
mod endings;
#[cfg(test)]
mod fetch;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod masked;
#[cfg(test)]
mod places;
#[cfg(test)]
mod ranges;
#[cfg(test)]
mod reflect;
#[cfg(test)]
mod rejected;
#[cfg(test)]
mod send;
#[cfg(test)]
mod servers;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod tokens;
#[cfg(test)]
mod told;
#[cfg(test)]
mod upgrade;
#[cfg(test)]
mod websocket;
#[cfg(test)]
mod websocket_limits;
#[cfg(test)]
mod wire;
