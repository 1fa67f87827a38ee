//! The names of cache entries; the cache itself is tested with real components in `tests/providers/artifacts.rs`.

use super::*;

#[test]
fn an_entry_is_named_by_component_and_engine() {
    let engine = crate::engine::shared().unwrap();
    let name = cache_key(engine, b"a").to_string_lossy().into_owned();
    let (component, engine_part) = name.split_once('-').unwrap();
    assert_eq!(component, "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb");
    assert_eq!(engine_part.len(), "0123456789abcdef.cwasm".len());
    assert_eq!(name, cache_key(engine, b"a").to_string_lossy(), "the same in each call");
    let other = Engine::new(wasmtime::Config::new().epoch_interruption(false)).unwrap();
    assert_ne!(name, cache_key(&other, b"a").to_string_lossy(), "code for another configuration is another entry");
}
