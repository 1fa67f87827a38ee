//! Against zlib's own compressor, as Go's peers use it.

use flate2::{Compress, Compression, FlushCompress};
use proptest::prelude::*;

use super::*;

/// A peer that compresses as spdystream does: level 9, flushed after each block.
struct Peer(Compress);

impl Peer {
    fn new() -> Self {
        let mut zlib = Compress::new(Compression::best(), true);
        zlib.set_dictionary(&DICTIONARY).unwrap();
        Self(zlib)
    }

    fn compress(&mut self, plain: &[u8]) -> Vec<u8> {
        let mut block = Vec::with_capacity(plain.len() * 2 + 1024);
        self.0.compress_vec(plain, &mut block, FlushCompress::Sync).unwrap();
        assert!(block.len() < block.capacity());
        block
    }

    fn block(&mut self, headers: &Headers) -> Vec<u8> {
        let plain = write(headers).unwrap();
        self.compress(&plain)
    }
}

/// As zlib's decompressor sees what is written here.
struct Reverse(Decompress);

impl Reverse {
    fn inflate(&mut self, block: &[u8]) -> Vec<u8> {
        let mut plain = Vec::with_capacity(100_000);
        let mut from = 0;
        let begin = self.0.total_in();
        if let Err(error) = self.0.decompress_vec(block, &mut plain, FlushDecompress::Sync) {
            assert_eq!(error.needs_dictionary(), Some(0xe3c6_a7c2));
            self.0.set_dictionary(&DICTIONARY).unwrap();
            from = usize::try_from(self.0.total_in() - begin).unwrap();
            self.0.decompress_vec(&block[from..], &mut plain, FlushDecompress::Sync).unwrap();
        }
        assert_eq!(self.0.total_in() - begin, block.len() as u64, "from {from}");
        plain
    }
}

fn stdin() -> Headers {
    [("Streamtype", "stdin"), ("Port", "80")].into_iter().collect()
}

#[test]
fn the_blocks_of_a_connection_are_read_in_order() {
    let (mut peer, mut inflater) = (Peer::new(), Inflater::new());
    for number in 0..1000 {
        let headers: Headers =
            [("streamtype", "data".to_owned()), ("requestid", number.to_string())].into_iter().collect();
        assert_eq!(inflater.headers(&peer.block(&headers)), Ok(headers));
    }
}

#[test]
fn names_are_read_in_whichever_case_and_asked_for_in_any() {
    let (mut peer, mut inflater) = (Peer::new(), Inflater::new());
    let headers = inflater.headers(&peer.block(&stdin())).unwrap();
    assert_eq!((headers.get("streamType"), headers.get("PORT"), headers.get("x")), (Some("stdin"), Some("80"), None));
}

#[test]
fn what_is_written_is_read_by_zlib() {
    let (mut deflater, mut reverse) = (Deflater::default(), Reverse(Decompress::new(true)));
    for headers in [Headers::default(), stdin(), Headers::default(), [("a", "b".repeat(9000))].into_iter().collect()] {
        assert_eq!(reverse.inflate(&deflater.block(&headers).unwrap()), write(&headers).unwrap());
    }
}

#[test]
fn a_block_that_inflates_without_end_is_refused() {
    let block = Peer::new().compress(&vec![0; 10 << 20]);
    assert!(block.len() < 100_000, "{}", block.len());
    assert_eq!(Inflater::new().headers(&block), Err(Error::TooLarge));
}

#[test]
fn lists_that_are_none_are_refused() {
    let refused = |plain: &[u8]| Inflater::new().headers(&Peer::new().compress(plain)).unwrap_err();
    let text = |text: &str| [&u32::try_from(text.len()).unwrap().to_be_bytes()[..], text.as_bytes()].concat();
    let list = |count: u32, texts: &[&str]| {
        [count.to_be_bytes().to_vec()].into_iter().chain(texts.iter().map(|one| text(one))).collect::<Vec<_>>().concat()
    };
    assert_eq!(refused(&[0, 0]), Error::Malformed, "cut short");
    assert_eq!(refused(&list(1, &["a"])), Error::Malformed, "a name without a value");
    assert_eq!(refused(&list(0, &["a"])), Error::Malformed, "more than was announced");
    assert_eq!(refused(&list(1, &["", "b"])), Error::Malformed, "no name");
    assert_eq!(refused(&list(2, &["a", "b", "A", "c"])), Error::Malformed, "twice the same");
    assert_eq!(refused(&list(u32::MAX, &[])), Error::TooLarge);
    assert_eq!(refused(&list(1, &["a", &"b".repeat(LONGEST_FIELD + 1)])), Error::TooLarge);
    assert_eq!(refused(&[&list(1, &[])[..], &[0, 0, 0, 2, 0xff, 0xfe]].concat()), Error::Malformed, "no text");
}

#[test]
fn blocks_without_the_dictionary_or_with_another_are_refused() {
    let mut plain = Compress::new(Compression::best(), true);
    let mut block = Vec::with_capacity(1000);
    plain.compress_vec(&write(&stdin()).unwrap(), &mut block, FlushCompress::Finish).unwrap();
    assert_eq!(Inflater::new().headers(&block), Err(Error::Compression), "a stream that ends");
    let mut other = Compress::new(Compression::best(), true);
    other.set_dictionary(b"another one").unwrap();
    let mut block = Vec::with_capacity(1000);
    other.compress_vec(&write(&stdin()).unwrap(), &mut block, FlushCompress::Sync).unwrap();
    assert_eq!(Inflater::new().headers(&block), Err(Error::Compression));
}

proptest! {
    #[test]
    fn no_bytes_make_it_spin_or_crash(bytes: Vec<u8>, cut in 0_usize..64) {
        let _ = Inflater::new().headers(&bytes);
        // The beginning of a good block, then anything.
        let mut block = Peer::new().block(&stdin());
        block.truncate(cut);
        block.extend(bytes);
        let mut inflater = Inflater::new();
        let _ = inflater.headers(&block);
        let _ = inflater.headers(&block);
    }

    #[test]
    fn any_headers_come_back(fields in proptest::collection::btree_map("[a-z-]{1,20}", "[ -~]{0,300}", 0..20)) {
        let headers: Headers = fields.into_iter().collect();
        prop_assert_eq!(Inflater::new().headers(&Peer::new().block(&headers)), Ok(headers));
    }
}
