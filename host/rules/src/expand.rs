//! `$(NAME)` expansion of values, commands, arguments and sub paths.
//!
//! In: a text, and a function that knows variables. Out: the text with references replaced. Invariant: never fails;
//! what is not a reference to a known variable comes out as it went in, except that `$$` becomes `$`. The rules are
//! those of the kubelet (`third_party/forked/golang/expansion`): values are not expanded again, names may be anything
//! but `)`.

use std::borrow::Cow;

/// Replaces each `$(NAME)` that `lookup` knows. One that it does not know stays literally, `$$(NAME)` becomes
/// `$(NAME)`.
pub fn expand<'v>(input: &str, mut lookup: impl FnMut(&str) -> Option<Cow<'v, str>>) -> String {
    let mut output = String::with_capacity(input.len());
    let mut rest = input;
    while let Some((before, after)) = rest.split_once('$') {
        output.push_str(before);
        rest = if let Some(rest) = after.strip_prefix('$') {
            output.push('$');
            rest
        } else if let Some(reference) = after.strip_prefix('(') {
            let Some((name, rest)) = reference.split_once(')') else {
                // Without a closer there is no reference in what follows either; looking again at each `$(` would be
                // quadratic.
                output.extend(["$(", &reference.replace("$$", "$")]);
                return output;
            };
            match lookup(name) {
                Some(value) => output.push_str(&value),
                None => output.extend(["$(", name, ")"]),
            }
            rest
        } else {
            output.push('$');
            after
        };
    }
    output.push_str(rest);
    output
}

#[cfg(test)]
mod tests;
