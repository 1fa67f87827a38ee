//! A line of a shell.
//!
//! In: text. Out: pipelines, and how each is joined to the one before. Invariant: pure.

/// How a pipeline follows the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Joint {
    /// `;`
    Then,
    /// `&&`
    And,
}

/// A program and its arguments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) words: Vec<String>,
    /// `>&2`
    pub(super) to_stderr: bool,
}

/// Reads a line. Variables that are not known are nothing.
pub(super) fn parse(script: &str, env: &[(String, String)]) -> Result<Vec<(Joint, Vec<Command>)>, &'static str> {
    let mut lists = vec![(Joint::Then, vec![Command::default()])];
    let mut word: Option<String> = None;
    let mut chars = script.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '\'' => {
                let text = word.get_or_insert_default();
                loop {
                    match chars.next().ok_or("a quote is not closed")? {
                        '\'' => break,
                        char => text.push(char),
                    }
                }
            }
            '"' => {
                let mut text = word.take().unwrap_or_default();
                loop {
                    match chars.next().ok_or("a quote is not closed")? {
                        '"' => break,
                        '$' => text.push_str(&variable(&mut chars, env)),
                        '\\' => text.extend(chars.next()),
                        char => text.push(char),
                    }
                }
                word = Some(text);
            }
            '$' => {
                let value = variable(&mut chars, env);
                word.get_or_insert_default().push_str(&value);
            }
            '\\' => word.get_or_insert_default().extend(chars.next()),
            ' ' | '\t' => end(&mut lists, &mut word),
            ';' | '\n' => {
                end(&mut lists, &mut word);
                lists.push((Joint::Then, vec![Command::default()]));
            }
            '&' if chars.next_if_eq(&'&').is_some() => {
                end(&mut lists, &mut word);
                lists.push((Joint::And, vec![Command::default()]));
            }
            '|' => {
                end(&mut lists, &mut word);
                if let Some((_, pipeline)) = lists.last_mut() {
                    pipeline.push(Command::default());
                }
            }
            '>' if chars.next_if_eq(&'&').is_some() && chars.next_if_eq(&'2').is_some() => {
                end(&mut lists, &mut word);
                if let Some(command) = lists.last_mut().and_then(|(_, pipeline)| pipeline.last_mut()) {
                    command.to_stderr = true;
                }
            }
            '&' | '>' | '<' | '`' | '(' | ')' => return Err("this shell knows ; && | >&2 quotes and $NAME only"),
            char => word.get_or_insert_default().push(char),
        }
    }
    end(&mut lists, &mut word);
    lists.retain(|(_, pipeline)| pipeline.iter().any(|command| !command.words.is_empty()));
    if lists.iter().flat_map(|(_, pipeline)| pipeline).any(|command| command.words.is_empty()) {
        return Err("a | has nothing on one of its sides");
    }
    Ok(lists)
}

fn end(lists: &mut [(Joint, Vec<Command>)], word: &mut Option<String>) {
    let command = lists.last_mut().and_then(|(_, pipeline)| pipeline.last_mut());
    if let (Some(word), Some(command)) = (word.take(), command) {
        command.words.push(word);
    }
}

fn variable(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, env: &[(String, String)]) -> String {
    let mut name = String::new();
    while let Some(char) = chars.next_if(|char| char.is_ascii_alphanumeric() || *char == '_') {
        name.push(char);
    }
    if name.is_empty() {
        return "$".to_owned();
    }
    env.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(script: &str) -> Vec<Vec<Vec<String>>> {
        let env = [("A".to_owned(), "x y".to_owned())];
        let lists = parse(script, &env).unwrap();
        lists.into_iter().map(|(_, pipeline)| pipeline.into_iter().map(|command| command.words).collect()).collect()
    }

    #[test]
    fn a_line_is_read_as_a_shell_reads_it() {
        assert_eq!(words("echo 'a  b' \"$A\" $A"), [[["echo", "a  b", "x y", "x y"]]]);
        assert_eq!(words("echo a\\ b''c; exit 3"), [[vec!["echo", "a bc"]], [vec!["exit", "3"]]]);
        assert_eq!(words("yes | head -c 5 && true"), [vec![vec!["yes"], vec!["head", "-c", "5"]], vec![vec!["true"]]]);
        assert_eq!(words(" ; \n"), Vec::<Vec<Vec<String>>>::new());
        assert!(parse("echo a >&2", &[]).unwrap()[0].1[0].to_stderr);
    }

    #[test]
    fn what_it_does_not_know_it_says() {
        for wrong in ["echo 'a", "echo \"a", "a > b", "a | | b", "a &", "$(a)"] {
            assert!(parse(wrong, &[]).is_err(), "{wrong}");
        }
    }
}
