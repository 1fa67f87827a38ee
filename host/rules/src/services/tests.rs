use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;

fn facts(service: Value) -> Option<ServiceFacts> {
    ServiceFacts::of(&serde_json::from_value(service).unwrap())
}

fn variables_of(service: Value) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    facts(service).unwrap().variables(&mut variables);
    variables
}

fn expected(variables: &[(&str, &str)]) -> BTreeMap<String, String> {
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn pod(namespace: &str, links: Option<bool>) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": "p", "namespace": namespace},
        "spec": {"containers": [], "enableServiceLinks": links},
    }))
    .unwrap()
}

fn service(namespace: &str, name: &str, address: &str) -> ServiceFacts {
    facts(json!({
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"clusterIP": address, "ports": [{"port": 443, "protocol": "TCP"}]},
    }))
    .unwrap()
}

/// A cluster with `default/kubernetes`, `shop/redis` and nothing else.
fn cluster(reference: &ObjectRef) -> Known {
    let services = match reference {
        ObjectRef::KubernetesService => vec![service("default", "kubernetes", "10.96.0.1")],
        ObjectRef::Services { namespace } if &**namespace == "default" => {
            vec![service("default", "kubernetes", "10.96.0.1")]
        }
        ObjectRef::Services { namespace } if &**namespace == "shop" => vec![service("shop", "redis", "10.96.0.7")],
        _ => return Known::Missing,
    };
    Known::Found(Arc::new(Object::Services(services)))
}

/// The cases of pkg/kubelet/envvars/envvars_test.go.
#[test]
fn a_service_makes_the_variables_that_the_kubelet_makes() {
    let one = variables_of(json!({"metadata": {"name": "foo-bar"},
        "spec": {"clusterIP": "1.2.3.4", "ports": [{"port": 8080, "protocol": "TCP"}]}}));
    assert_eq!(
        one,
        expected(&[
            ("FOO_BAR_SERVICE_HOST", "1.2.3.4"),
            ("FOO_BAR_SERVICE_PORT", "8080"),
            ("FOO_BAR_PORT", "tcp://1.2.3.4:8080"),
            ("FOO_BAR_PORT_8080_TCP", "tcp://1.2.3.4:8080"),
            ("FOO_BAR_PORT_8080_TCP_PROTO", "tcp"),
            ("FOO_BAR_PORT_8080_TCP_PORT", "8080"),
            ("FOO_BAR_PORT_8080_TCP_ADDR", "1.2.3.4"),
        ])
    );
}

#[test]
fn every_named_port_has_a_variable_and_the_first_port_the_short_names() {
    let two = variables_of(json!({"metadata": {"name": "abc-123"}, "spec": {"clusterIP": "5.6.7.8", "ports": [
        {"name": "u-d-p", "port": 8081, "protocol": "UDP"}, {"name": "t-c-p", "port": 8081, "protocol": "TCP"}]}}));
    assert_eq!(
        two,
        expected(&[
            ("ABC_123_SERVICE_HOST", "5.6.7.8"),
            ("ABC_123_SERVICE_PORT", "8081"),
            ("ABC_123_SERVICE_PORT_U_D_P", "8081"),
            ("ABC_123_SERVICE_PORT_T_C_P", "8081"),
            ("ABC_123_PORT", "udp://5.6.7.8:8081"),
            ("ABC_123_PORT_8081_UDP", "udp://5.6.7.8:8081"),
            ("ABC_123_PORT_8081_UDP_PROTO", "udp"),
            ("ABC_123_PORT_8081_UDP_PORT", "8081"),
            ("ABC_123_PORT_8081_UDP_ADDR", "5.6.7.8"),
            ("ABC_123_PORT_8081_TCP", "tcp://5.6.7.8:8081"),
            ("ABC_123_PORT_8081_TCP_PROTO", "tcp"),
            ("ABC_123_PORT_8081_TCP_PORT", "8081"),
            ("ABC_123_PORT_8081_TCP_ADDR", "5.6.7.8"),
        ])
    );
}

#[test]
fn an_ipv6_address_stands_in_brackets_in_a_url() {
    let six = variables_of(json!({"metadata": {"name": "super-ipv6"},
        "spec": {"clusterIP": "2001:DB8::", "ports": [{"port": 8084, "protocol": "UDP"}]}}));
    assert_eq!(six["SUPER_IPV6_SERVICE_HOST"], "2001:DB8::");
    assert_eq!(six["SUPER_IPV6_PORT"], "udp://[2001:DB8::]:8084");
    assert_eq!(six["SUPER_IPV6_PORT_8084_UDP_ADDR"], "2001:DB8::");
}

#[test]
fn services_without_a_cluster_address_make_none() {
    for address in ["None", ""] {
        let service = json!({"metadata": {"name": "s"}, "spec": {"clusterIP": address, "ports": [{"port": 1}]}});
        assert_eq!(facts(service), None);
    }
    assert_eq!(facts(json!({"metadata": {"name": "s"}, "spec": {"type": "ExternalName", "externalName": "x"}})), None);
}

#[test]
fn a_pod_sees_its_namespace_and_the_kubernetes_service() {
    let variables = variables(&pod("shop", None), &cluster, None).unwrap();
    assert_eq!(variables["REDIS_SERVICE_HOST"], "10.96.0.7");
    assert_eq!(variables["KUBERNETES_SERVICE_HOST"], "10.96.0.1");
}

#[test]
fn a_pod_without_service_links_sees_only_the_kubernetes_service() {
    let variables = variables(&pod("shop", Some(false)), &cluster, None).unwrap();
    assert!(!variables.contains_key("REDIS_SERVICE_HOST"));
    assert_eq!(variables["KUBERNETES_SERVICE_HOST"], "10.96.0.1");
}

#[test]
fn a_given_address_of_the_api_server_replaces_the_kubernetes_service() {
    for namespace in ["shop", "default"] {
        let variables = variables(&pod(namespace, None), &cluster, Some(("api.example.com", 6443))).unwrap();
        assert_eq!(variables["KUBERNETES_SERVICE_HOST"], "api.example.com");
        assert_eq!(variables["KUBERNETES_SERVICE_PORT"], "6443");
        assert_eq!(variables["KUBERNETES_SERVICE_PORT_HTTPS"], "6443");
        assert_eq!(variables["KUBERNETES_PORT"], "tcp://api.example.com:6443");
        assert!(!variables.contains_key("KUBERNETES_PORT_443_TCP"));
    }
}

#[test]
fn a_service_named_kubernetes_in_the_pods_own_namespace_wins() {
    let object = |reference: &ObjectRef| match reference {
        ObjectRef::Services { .. } => {
            Known::Found(Arc::new(Object::Services(vec![service("shop", "kubernetes", "10.96.0.9")])))
        }
        other => cluster(other),
    };
    let variables = variables(&pod("shop", None), &object, None).unwrap();
    assert_eq!(variables["KUBERNETES_SERVICE_HOST"], "10.96.0.9");
}

#[test]
fn services_that_are_not_known_yet_hold_the_pod() {
    let loading = |_: &ObjectRef| Known::Loading;
    let obstacle = variables(&pod("shop", None), &loading, None).unwrap_err();
    assert_eq!(obstacle, Obstacle::Loading(ObjectRef::Services { namespace: "shop".into() }));
    let forbidden = |_: &ObjectRef| Known::Failed("services is forbidden".to_owned());
    let obstacle = variables(&pod("shop", None), &forbidden, None).unwrap_err();
    let text = "failed to list services when setting up env vars: services is forbidden";
    assert_eq!(obstacle, Obstacle::Message(text.to_owned()));
}
