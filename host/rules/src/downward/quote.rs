//! Go's `strconv.Quote`.
//!
//! In: a text. Out: a Go string literal in double quotes. Invariant: always one line.

/// The text as a Go string literal.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{b}' => quoted.push_str("\\v"),
            other if is_print(other) => quoted.push(other),
            other => quoted.push_str(&escape(u32::from(other))),
        }
    }
    quoted.push('"');
    quoted
}

fn escape(code: u32) -> String {
    match code {
        0..0x20 | 0x7f => format!("\\x{code:02x}"),
        0..0x1_0000 => format!("\\u{code:04x}"),
        _ => format!("\\U{code:08x}"),
    }
}

/// Go's `unicode.IsPrint`: letters, marks, numbers, punctuation, symbols and the ASCII space.
///
/// The standard library keeps the same classes for `escape_debug`, where it leaves marks alone if they follow another
/// character.
fn is_print(character: char) -> bool {
    if character.is_ascii() {
        return character == ' ' || character.is_ascii_graphic();
    }
    let mut buffer = [0; 5];
    let Some((first, rest)) = buffer.split_first_mut() else {
        return false;
    };
    *first = b'a';
    let length = character.encode_utf8(rest).len();
    let text = buffer.get(..=length).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default();
    text.escape_debug().nth(1) == Some(character)
}

#[cfg(test)]
mod tests {
    use super::quote;

    /// From strconv/quote_test.go (`quotetests`), without those that are no UTF-8.
    #[test]
    fn a_text_is_quoted_as_go_does_it() {
        let cases = [
            ("\u{7}\u{8}\u{c}\r\n\t\u{b}", r#""\a\b\f\r\n\t\v""#),
            ("\\", r#""\\""#),
            ("\u{263a}", "\"\u{263a}\""),
            ("\u{10ffff}", r#""\U0010ffff""#),
            ("\u{4}", r#""\x04""#),
            ("!\u{a0}!\u{2000}!\u{3000}!", r#""!\u00a0!\u2000!\u3000!""#),
            ("\u{7f}", r#""\x7f""#),
        ];
        for (text, quoted) in cases {
            assert_eq!(quote(text), quoted);
        }
    }

    #[test]
    fn quotes_are_escaped_and_marks_and_letters_are_not() {
        assert_eq!(quote("say \"hi\""), r#""say \"hi\"""#);
        assert_eq!(quote("e\u{301} 世界 ü"), "\"e\u{301} 世界 ü\"");
        assert_eq!(quote("\u{301}"), "\"\u{301}\"");
        assert_eq!(quote("'"), "\"'\"");
        assert_eq!(quote("soft\u{ad}hyphen\u{200b}\u{85}"), r#""soft\u00adhyphen\u200b\u0085""#);
    }
}
