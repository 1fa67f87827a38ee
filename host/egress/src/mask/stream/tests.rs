//! Bodies that are cut, that pause, and that are guessed at.

use proptest::prelude::*;

use super::super::tests::mask;
use super::*;

const SECRET: &str = "secret-token";

fn stream() -> StreamMask {
    StreamMask::new(mask(&[SECRET]), Suspicions::default())
}

fn piece(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

#[test]
fn the_end_of_a_body_that_only_looked_like_a_secret_is_not_lost() {
    let mut stream = stream();
    assert_eq!(stream.push(piece("this is not a sec")), "this i");
    assert_eq!(stream.finish(), "s not a sec");
}

#[test]
fn a_line_goes_on_at_once() {
    let mut stream = stream();
    assert_eq!(stream.push(piece("one\ntwo\nthr")), "one\ntwo\n");
    assert_eq!(stream.push(piece("ee secret-token\n")), "three ************\n");
}

#[test]
fn where_a_piece_ends_does_not_tell_whether_a_guess_was_right() {
    let lengths = |text: &str| {
        let mut stream = stream();
        (stream.push(piece(text)).len(), stream.finish().len())
    };
    assert_eq!(lengths("it ends in: secret-t"), lengths("it ends in: qwertyui"));
}

#[test]
fn a_pause_lets_go_of_what_is_no_secret() {
    let mut stream = stream();
    assert_eq!(stream.push(piece("$ ")), "");
    assert!(stream.is_holding());
    assert_eq!(stream.pause(), "$ ");
    assert!(!stream.is_holding());
    assert_eq!(stream.push(piece("ls")), "");
    assert_eq!(stream.finish(), "ls");
}

#[test]
fn a_secret_with_a_pause_in_it_does_not_come_out_in_halves() {
    for cut in 1..SECRET.len() {
        let mut stream = stream();
        let (first, second) = SECRET.split_at(cut);
        let mut out = stream.push(piece(&format!("<{first}"))).to_vec();
        out.extend_from_slice(&stream.pause());
        assert!(!stream.is_holding(), "there is no use in pausing twice");
        out.extend_from_slice(&stream.push(piece(&format!("{second}>"))));
        out.extend_from_slice(&stream.finish());
        let out = String::from_utf8(out).unwrap();
        assert_eq!(out.len(), SECRET.len() + 2);
        let told = if cut < SHORTEST { first } else { "" };
        assert_eq!(out, format!("<{told}{}>", "*".repeat(SECRET.len() - told.len())), "cut at {cut}");
    }
}

#[test]
fn pauses_confirm_a_few_guesses_and_then_none() {
    let suspicions = Suspicions::default();
    let let_go = |text: &str| {
        let mut stream = StreamMask::new(mask(&[SECRET]), suspicions.clone());
        stream.push(piece(text));
        stream.pause().len()
    };
    for _ in 0..BELIEVED {
        assert_eq!((let_go("abcde"), let_go("secre")), (5, 0), "it shows");
    }
    assert_eq!((let_go("abcde"), let_go("secre")), (0, 0), "no more");
}

proptest! {
    #[test]
    fn a_secret_is_masked_however_the_body_is_cut(
        text in "[abs]{0,40}",
        cuts in proptest::collection::vec((0usize..60, any::<bool>()), 0..6),
    ) {
        let mask = mask(&["abas", "sabba"]);
        let whole = mask.text(text.as_bytes());
        let mut stream = StreamMask::new(mask, Suspicions::default());
        let mut out = Vec::new();
        let mut paused = false;
        let mut cuts: Vec<_> = cuts.into_iter().map(|(cut, pause)| (cut.min(text.len()), pause)).collect();
        cuts.sort_unstable();
        let mut from = 0;
        for (cut, pause) in cuts.into_iter().chain([(text.len(), false)]) {
            out.extend_from_slice(&stream.push(Bytes::copy_from_slice(&text.as_bytes()[from..cut])));
            if pause {
                paused = true;
                out.extend_from_slice(&stream.pause());
            }
            from = cut;
        }
        out.extend_from_slice(&stream.finish());
        let out = String::from_utf8(out).unwrap();
        prop_assert_eq!(out.len(), whole.len());
        prop_assert!(!out.contains("abas") && !out.contains("sabba"), "{} became {}", text, out);
        prop_assert!(paused || text.contains(['s', 'b']) || out == text);
    }
}
