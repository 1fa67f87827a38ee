//! The manifest inside a component, and the macro that makes a component of a provider.
//!
//! In: what the author writes in [`export!`](crate::export). Out: JSON in the custom section `pluglet-manifest`. Invariant: the JSON
//! is made at compile time and is valid whatever the texts hold.

#[cfg(not(target_arch = "wasm32"))]
mod check;

#[cfg(not(target_arch = "wasm32"))]
pub use check::check;

/// A piece of the manifest.
#[doc(hidden)]
#[derive(Clone, Copy)]
pub enum Piece {
    /// JSON as it stands.
    Json(&'static str),
    /// Text that becomes a JSON string with its quotes.
    Text(&'static str),
    /// The comma before an item of a list, unless it is the first.
    Next,
    /// True if it was given so, false if it was given so or not given.
    Flag(&'static [bool]),
}

const HEX: [u8; 16] = *b"0123456789abcdef";

/// How many bytes the pieces take.
#[doc(hidden)]
#[must_use]
pub const fn length(pieces: &[Piece]) -> usize {
    Out::<0>::new().write(pieces).at
}

/// The pieces as bytes. `N` is their [`length`].
#[doc(hidden)]
#[must_use]
pub const fn render<const N: usize>(pieces: &[Piece]) -> [u8; N] {
    Out::<N>::new().write(pieces).bytes
}

/// Where the JSON goes. What does not fit is only counted, so that the same code measures and writes.
struct Out<const N: usize> {
    bytes: [u8; N],
    at: usize,
    last: u8,
}

impl<const N: usize> Out<N> {
    const fn new() -> Self {
        Self { bytes: [b' '; N], at: 0, last: 0 }
    }

    const fn write(mut self, mut pieces: &[Piece]) -> Self {
        while let Some((piece, rest)) = pieces.split_first() {
            pieces = rest;
            match piece {
                Piece::Json(json) => self.copy(json.as_bytes()),
                Piece::Next if self.last == b'[' => {}
                Piece::Next => self.push(b','),
                Piece::Text(text) => self.text(text.as_bytes()),
                Piece::Flag([true]) => self.copy(b"true"),
                Piece::Flag(_) => self.copy(b"false"),
            }
        }
        self
    }

    const fn text(&mut self, mut bytes: &[u8]) {
        self.push(b'"');
        while let Some((byte, rest)) = bytes.split_first() {
            bytes = rest;
            match *byte {
                b'"' | b'\\' => {
                    self.push(b'\\');
                    self.push(*byte);
                }
                0..0x20 => {
                    self.copy(b"\\u00");
                    self.hex(*byte >> 4);
                    self.hex(*byte & 15);
                }
                byte => self.push(byte),
            }
        }
        self.push(b'"');
    }

    const fn hex(&mut self, digit: u8) {
        if let Some(byte) = HEX.split_at(digit as usize).1.first() {
            self.push(*byte);
        }
    }

    const fn copy(&mut self, mut from: &[u8]) {
        while let Some((byte, rest)) = from.split_first() {
            from = rest;
            self.push(*byte);
        }
    }

    const fn push(&mut self, byte: u8) {
        if self.at < N
            && let Some(place) = self.bytes.split_at_mut(self.at).1.first_mut()
        {
            *place = byte;
        }
        self.at += 1;
        self.last = byte;
    }
}

/// Make a component of a provider and put its manifest into it. Once per crate, and the crate's type must be `cdylib`.
///
/// * `features`: the [`Feature`](crate::Feature)s that an operator sees before anything runs. What counts at run time is
///   [`Provider::info`](crate::Provider::info).
/// * `endpoints`: the names that the provider uses with [`Host::endpoint`](crate::Host::endpoint), each with the reason that an operator reads
///   before granting it. What follows `why` may be left out, but not reordered:
///   * `methods` and `paths`: what is asked for. Missing or empty: anything. A path pattern consists of segments, in which `*` is
///     exactly one segment, and `**` at the end any number of them, also none. The host refuses what does not fit, whatever the operator
///     granted.
///   * `websocket`, `upgrade`: whether connections that stop being HTTP are asked for.
///   * `optional`: whether the provider is of use without this endpoint.
/// * `config_schema`: the JSON Schema of the operator's `config:` section, such as `include_str!("../config.schema.json")`.
///
/// The version is that of the calling crate. Off wasm the macro makes `PLUGLET_MANIFEST` and a test that the manifest is one that the host can
/// read, so that the crate's own tests build.
///
/// ```
/// struct Acme; // implements `Provider`; off wasm the macro does not look at it
///
/// pluglet_sdk::export!(Acme, {
///     name: "acme",
///     description: "Runs pods on Acme.",
///     features: [Watch, Logs],
///     endpoints: [
///         { name: "api", why: "the Acme API", methods: ["GET", "PUT"], paths: ["/pods", "/pods/*"] },
///         { name: "logs", why: "logs that are followed", websocket: true, optional: true },
///     ],
///     config_schema: r#"{"type": "object", "properties": {"zone": {"type": "string"}}}"#,
/// });
///
/// # fn main() {
/// assert!(PLUGLET_MANIFEST.starts_with(br#"{"name":"acme","#));
/// # }
/// ```
#[macro_export]
macro_rules! export {
    ($provider:ty, {
        name: $name:expr,
        description: $description:expr
        $(, features: [$($feature:ident),* $(,)?])?
        $(, endpoints: [$({
            name: $endpoint:expr,
            why: $why:expr
            $(, methods: [$($method:expr),* $(,)?])?
            $(, paths: [$($path:expr),* $(,)?])?
            $(, websocket: $websocket:expr)?
            $(, upgrade: $upgrade:expr)?
            $(, optional: $optional:expr)?
            $(,)?
        }),* $(,)?])?
        $(, config_schema: $config_schema:expr)?
        $(,)?
    }) => {
        /// The provider's manifest: JSON, as in the component's custom section.
        #[cfg_attr(target_arch = "wasm32", unsafe(link_section = "pluglet-manifest"))]
        #[used]
        pub static PLUGLET_MANIFEST: [u8; $crate::__private::length(PLUGLET_MANIFEST_PIECES)] =
            $crate::__private::render(PLUGLET_MANIFEST_PIECES);

        const PLUGLET_MANIFEST_PIECES: &[$crate::__private::Piece] = &{
            #[allow(unused_imports, reason = "a manifest need not have every kind of piece")]
            use $crate::__private::Piece::{Flag, Json, Next, Text};
            [
                Json("{\"name\":"),
                Text($name),
                Json(",\"version\":"),
                Text(env!("CARGO_PKG_VERSION")),
                Json(",\"contract\":"),
                Text($crate::CONTRACT),
                Json(",\"description\":"),
                Text($description),
                Json(",\"sdk\":"),
                Text($crate::VERSION),
                Json(",\"features\":["),
                $($(Next, Text($crate::Feature::$feature.name()),)*)?
                Json("],\"endpoints\":["),
                $($(
                    Next,
                    Json("{\"name\":"),
                    Text($endpoint),
                    Json(",\"why\":"),
                    Text($why),
                    Json(",\"methods\":["),
                    $($(Next, Text($method),)*)?
                    Json("],\"paths\":["),
                    $($(Next, Text($path),)*)?
                    Json("],\"websocket\":"),
                    Flag(&[$($websocket)?]),
                    Json(",\"upgrade\":"),
                    Flag(&[$($upgrade)?]),
                    Json(",\"optional\":"),
                    Flag(&[$($optional)?]),
                    Json("}"),
                )*)?
                Json("]"),
                $(Json(",\"configSchema\":"), Json($config_schema),)?
                Json("}"),
            ]
        };

        #[cfg(all(test, not(target_arch = "wasm32")))]
        #[test]
        fn the_manifest_can_be_read_by_the_host() -> ::std::result::Result<(), ::std::string::String> {
            $crate::__private::check(&PLUGLET_MANIFEST)
        }

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Exported = $crate::__private::Exported<$provider>;
            $crate::__private::export_component!(Exported with_types_in $crate::__private::bindings);
        };
    };
}

#[cfg(test)]
mod tests {
    use super::{Piece, length, render};

    const TRICKY: &[Piece] = &[
        Piece::Json("["),
        Piece::Next,
        Piece::Text("a \"b\" \\ \n \u{1f} é"),
        Piece::Next,
        Piece::Text(""),
        Piece::Json("]"),
    ];

    #[test]
    fn any_text_becomes_a_json_string() {
        let bytes: [u8; length(TRICKY)] = render(TRICKY);
        let read: Vec<String> = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(read, ["a \"b\" \\ \n \u{1f} é", ""]);
    }
}
