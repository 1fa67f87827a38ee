use k8s_openapi::api::core::v1::ResourceRequirements;
use proptest::prelude::*;

use super::*;

fn list(amounts: &[(&str, &str)]) -> BTreeMap<String, Text> {
    amounts.iter().map(|(name, text)| ((*name).to_owned(), Text((*text).to_owned()))).collect()
}

fn resources(amounts: &[(&str, &str)]) -> Resources {
    Resources::from_list(&list(amounts))
}

fn requirements(amounts: &[(&str, &str)]) -> ResourceRequirements {
    ResourceRequirements { requests: Some(list(amounts)), ..ResourceRequirements::default() }
}

fn container(amounts: &[(&str, &str)]) -> Container {
    Container { resources: Some(requirements(amounts)), ..Container::default() }
}

fn sidecar(amounts: &[(&str, &str)]) -> Container {
    Container { restart_policy: Some("Always".to_owned()), ..container(amounts) }
}

fn spec(containers: Vec<Container>, init_containers: Vec<Container>) -> PodSpec {
    PodSpec { containers, init_containers: Some(init_containers), ..PodSpec::default() }
}

fn requested(spec: PodSpec) -> Resources {
    requests(&Pod { spec: Some(spec), ..Pod::default() })
}

/// The example in the doc comment of `computePodResourceRequest`
/// (pkg/scheduler/framework/plugins/noderesources/fit.go).
#[test]
fn the_most_demanding_init_container_counts_if_it_is_more_than_all_containers() {
    let pod = spec(
        vec![container(&[("cpu", "2"), ("memory", "1G")]), container(&[("cpu", "1"), ("memory", "1G")])],
        vec![container(&[("cpu", "2"), ("memory", "1G")]), container(&[("cpu", "2"), ("memory", "3G")])],
    );
    assert_eq!(requested(pod), resources(&[("cpu", "3"), ("memory", "3G")]));
}

/// The formula of KEP-753: InitContainerUse(i) = sum of the sidecars before i + its own.
#[test]
fn sidecars_add_to_the_containers_and_to_the_init_containers_after_them() {
    let inits = vec![
        container(&[("cpu", "5")]),
        sidecar(&[("cpu", "2")]),
        container(&[("cpu", "4")]),
        sidecar(&[("cpu", "1")]),
    ];
    let small = spec(vec![container(&[("cpu", "1")])], inits.clone());
    assert_eq!(requested(small), resources(&[("cpu", "6")]), "2 + 4 while the third starts");
    let large = spec(vec![container(&[("cpu", "7")])], inits);
    assert_eq!(requested(large), resources(&[("cpu", "10")]), "7 + 2 + 1 when all run");
}

#[test]
fn what_the_pod_itself_requests_wins_where_it_can_and_overhead_comes_on_top() {
    let pod = PodSpec {
        resources: Some(requirements(&[("cpu", "500m"), ("hugepages-2Mi", "4Mi"), ("example.com/fpga", "9")])),
        overhead: Some(list(&[("cpu", "250m"), ("memory", "120Mi")])),
        ..spec(vec![container(&[("cpu", "2"), ("memory", "1Gi"), ("example.com/fpga", "1")])], vec![])
    };
    let expected = [("cpu", "750m"), ("example.com/fpga", "1"), ("hugepages-2Mi", "4Mi"), ("memory", "1144Mi")];
    assert_eq!(requested(pod), resources(&expected));
}

#[test]
fn limits_are_not_requests_and_zero_is_none() {
    let limited = Container {
        resources: Some(ResourceRequirements {
            limits: Some(list(&[("cpu", "1")])),
            ..requirements(&[("memory", "0")])
        }),
        ..Container::default()
    };
    assert_eq!(requested(spec(vec![limited], vec![])), Resources::default());
    assert_eq!(requests(&Pod::default()), Resources::default());
}

#[test]
fn a_list_tells_what_it_does_not_name_from_a_named_zero() {
    let allocatable = resources(&[("cpu", "4"), ("example.com/gpu", "0"), ("odd", "four")]);
    assert_eq!(allocatable.get("example.com/gpu"), Some(Quantity::ZERO));
    assert_eq!((allocatable.get("example.com/fpga"), allocatable.get("odd")), (None, None));
    assert_eq!((allocatable.amount("cpu"), allocatable.amount("odd")), (Quantity::from_value(4), Quantity::ZERO));
    assert_eq!(allocatable.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["cpu", "example.com/gpu"]);
}

#[test]
fn a_ledger_counts_pods_and_what_they_request() {
    let mut ledger = Ledger::default();
    let first = resources(&[("cpu", "1500m"), ("memory", "1Gi")]);
    let second = resources(&[("cpu", "250m")]);
    ledger.add(&first);
    ledger.add(&second);
    assert_eq!((ledger.pods(), ledger.amount("cpu")), (2, Quantity::from_milli(1750)));
    ledger.sub(&first);
    assert_eq!(
        (ledger.pods(), ledger.amount("cpu"), ledger.amount("memory")),
        (1, Quantity::from_milli(250), Quantity::ZERO)
    );
    ledger.sub(&second);
    assert_eq!(ledger, Ledger::default());
}

fn any_resources() -> impl Strategy<Value = Resources> {
    let amounts = prop::collection::btree_map("[a-d]", 0_i64..1 << 50, 0..4);
    amounts.prop_map(|amounts| {
        Resources(amounts.into_iter().map(|(name, n)| (name.into(), Quantity::from_milli(n))).collect())
    })
}

proptest! {
    #[test]
    fn the_ledger_is_the_sum_of_who_is_left_in_whatever_order_they_came_and_went(
        pods in prop::collection::vec((any_resources(), any::<bool>()), 0..12),
    ) {
        let mut ledger = Ledger::default();
        pods.iter().for_each(|(requests, _)| ledger.add(requests));
        pods.iter().rev().filter(|(_, leaves)| *leaves).for_each(|(requests, _)| ledger.sub(requests));
        let stay = || pods.iter().filter(|(_, leaves)| !leaves).map(|(requests, _)| requests);
        prop_assert_eq!(ledger.pods(), stay().count());
        for name in ["a", "b", "c", "d"] {
            let sum = stay().map(|requests| requests.amount(name).milli_value()).sum();
            prop_assert_eq!(ledger.amount(name), Quantity::from_milli(sum));
        }
    }

    #[test]
    fn a_pod_requests_at_least_what_its_containers_do_and_no_more_than_everything(
        apps in prop::collection::vec(0_i64..100, 0..4),
        inits in prop::collection::vec((0_i64..100, any::<bool>()), 0..5),
    ) {
        let cpu = |cores: i64| cores.to_string();
        let containers = apps.iter().map(|cores| container(&[("cpu", &cpu(*cores))])).collect();
        let init = |(cores, always): &(i64, bool)| {
            let text = cpu(*cores);
            if *always { sidecar(&[("cpu", &text)]) } else { container(&[("cpu", &text)]) }
        };
        let total = requested(spec(containers, inits.iter().map(init).collect())).amount("cpu").value();
        let sidecars: i64 = inits.iter().filter(|(_, always)| *always).map(|(cores, _)| cores).sum();
        let least = apps.iter().sum::<i64>() + sidecars;
        let alone = inits.iter().map(|(cores, _)| *cores).max().unwrap_or_default();
        prop_assert!(total >= least.max(alone) && total <= least.max(alone + sidecars));
    }
}
