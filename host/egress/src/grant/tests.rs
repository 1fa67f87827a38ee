//! Both sides of a right.

use super::*;

fn need(name: &str) -> Need {
    Need { name: name.to_owned(), why: "the API".to_owned(), ..Need::default() }
}

fn grant() -> Grant {
    Grant::new(Target::base("https://api.example.com/base").unwrap())
}

fn one(need: &Need, grant: Grant) -> Result<Rights, Vec<Missing>> {
    intersect(std::slice::from_ref(need), &BTreeMap::from([(need.name.clone(), grant)]))
}

#[test]
fn a_right_is_what_both_sides_say() {
    let need = Need {
        methods: vec!["GET".to_owned(), "PUT".to_owned()],
        paths: vec!["/pods/*".to_owned()],
        websocket: true,
        ..need("api")
    };
    let grant = Grant { path_prefixes: vec!["/pods".to_owned()], websocket: true, upgrade: true, ..grant() };
    let rights = one(&need, grant).unwrap();
    let right = rights.rights.first().unwrap();
    assert!(right.allows_method(&Method::GET) && !right.allows_method(&Method::DELETE));
    assert!(right.allows_path("/pods/a") && !right.allows_path("/pods/a/b") && !right.allows_path("/secrets/a"));
    assert!(right.websocket && !right.upgrade, "what was granted and not asked for is not there");
}

#[test]
fn the_operator_narrows_what_the_manifest_leaves_open() {
    let grant = Grant { methods: Some(vec![Method::GET]), path_prefixes: vec!["/v1".to_owned()], ..grant() };
    let rights = one(&need("api"), grant).unwrap();
    let right = rights.rights.first().unwrap();
    assert!(right.allows_method(&Method::GET) && !right.allows_method(&Method::POST));
    assert!(right.allows_path("/v1") && right.allows_path("/v1/x") && !right.allows_path("/v10"));
}

#[test]
fn what_is_needed_and_not_granted_is_told_with_the_yaml_to_paste() {
    let whole = intersect(&[Need { upgrade: true, ..need("api") }], &BTreeMap::new()).unwrap_err();
    assert_eq!(
        whole[0].to_string(),
        "the provider needs the endpoint \"api\" (the API), which is not granted; to grant it, write\n\
         endpoints:\n  api:\n    url: https://…\n    upgrade: true\n"
    );
    let need = Need {
        methods: vec!["GET".to_owned(), "PUT".to_owned()],
        paths: vec!["/pods/**".to_owned()],
        websocket: true,
        ..need("api")
    };
    let narrow = Grant { methods: Some(vec![Method::GET]), path_prefixes: vec!["/other".to_owned()], ..grant() };
    let missing = one(&need, narrow).unwrap_err();
    assert_eq!(missing[0].lacking, ["the methods PUT", "the paths /pods/**", "websocket"]);
    assert!(missing[0].snippet.contains("methods: [GET, PUT]\n    pathPrefixes: [/other, /pods]\n    websocket: true"));
}

#[test]
fn optional_endpoints_may_be_missing_and_unasked_ones_are_told() {
    let rights =
        intersect(&[Need { optional: true, ..need("metrics") }], &BTreeMap::from([("left-over".to_owned(), grant())]))
            .unwrap();
    assert!(rights.rights.is_empty());
    assert_eq!(rights.optional.len(), 1);
    assert_eq!(rights.unasked, ["left-over"]);
}
