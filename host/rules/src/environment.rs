//! The environment of a container.
//!
//! In: a container's `envFrom` and `env`, objects, service variables. Out: variables with values, in a stable order:
//! `envFrom` by source and key, `env` as written, service variables by name; a name stands once, where it was first
//! set, with its last value. Invariant: values are literal, except the addresses of the pod. Rules of
//! `makeEnvironmentVariables` (pkg/kubelet). Names are not filtered: since Kubernetes 1.34 dots and dashes are
//! ordinary.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{EnvFromSource, EnvVar, EnvVarSource, ObjectFieldSelector, Pod, PodSpec};

use crate::containers::ContainerView;
use crate::downward::{self, Field, PodAddress, resource};
use crate::expand::expand;
use crate::objects::{Obstacle, require};
use crate::references::{ObjectRef, namespace, of_env, of_env_from};
use crate::resolve::Context;

/// What the containers that name ConfigMaps or Secrets got when their pod was created.
///
/// A kubelet reads them when a container starts; later changes do not reach it. A caller keeps this beside the pod and
/// gives it back in [`Context::frozen`], so that a changed or deleted object neither changes nor breaks an update of a
/// running pod. Service variables are not in it. It may hold Secrets: keep it in memory only.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment {
    containers: BTreeMap<Box<str>, Arc<[Variable]>>,
}

/// One variable.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Variable {
    name: Box<str>,
    value: Value,
}

#[derive(Clone, PartialEq, Eq)]
enum Value {
    Literal(Box<str>),
    /// Stays a `fieldRef` for the provider to fill in.
    Provider(PodAddress),
}

impl fmt::Debug for Environment {
    // Values may be Secrets: never printed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |variables: &Arc<[Variable]>| variables.iter().map(|it| it.name.clone()).collect::<Vec<_>>();
        f.debug_map()
            .entries(self.containers.iter().map(|(container, variables)| (container, names(variables))))
            .finish()
    }
}

impl Environment {
    /// Adds a container's variables.
    pub(crate) fn freeze(&mut self, container: &str, variables: Arc<[Variable]>) {
        self.containers.insert(container.into(), variables);
    }

    /// None if no container is in it.
    pub(crate) fn into_option(self) -> Option<Self> {
        (!self.containers.is_empty()).then_some(self)
    }
}

/// What the environments of a pod's containers are made from.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub pod: &'a Pod,
    pub spec: &'a PodSpec,
    pub context: &'a Context<'a>,
    /// Service variables.
    pub services: &'a BTreeMap<String, String>,
}

/// Whether the container names a ConfigMap or Secret, so that its environment must be frozen.
pub(crate) fn names_objects(container: &ContainerView<'_>) -> bool {
    container.env_from.iter().any(|source| of_env_from(source, "").is_some())
        || container.env.iter().any(|variable| of_env(variable, "").is_some())
}

/// The variables of a container: the frozen ones if there are any.
pub(crate) fn of_container<'a>(
    scope: Scope<'a>,
    container: &ContainerView<'_>,
) -> Result<ContainerEnvironment<'a>, Obstacle> {
    let frozen = scope.context.frozen.and_then(|frozen| frozen.containers.get(container.name));
    if let Some(frozen) = frozen {
        let places = frozen.iter().enumerate().map(|(place, variable)| (variable.name.clone(), place)).collect();
        return Ok(ContainerEnvironment { own: frozen.to_vec(), places, services: scope.services });
    }
    let mut environment = ContainerEnvironment { own: Vec::new(), places: HashMap::new(), services: scope.services };
    for source in container.env_from {
        environment.add_all(scope, source)?;
    }
    for variable in container.env {
        if let Some(value) = environment.value(scope, container, variable)? {
            environment.set(&variable.name, value);
        }
    }
    Ok(environment)
}

/// The variables of one container, with those of services behind them.
pub(crate) struct ContainerEnvironment<'a> {
    own: Vec<Variable>,
    places: HashMap<Box<str>, usize>,
    services: &'a BTreeMap<String, String>,
}

impl ContainerEnvironment<'_> {
    /// Expands `$(NAME)` in a value, command or argument. A variable that the provider fills in stays literally; so does the `$` that keeps
    /// it from being filled in, since `$$(NAME)` and `$(NAME)` would be the same for the provider.
    pub(crate) fn expand(&self, text: &str) -> String {
        let filled_in = self.own.iter().filter(|variable| matches!(variable.value, Value::Provider(_)));
        let text = filled_in.fold(Cow::Borrowed(text), |text, variable| {
            let escaped = format!("$$({})", variable.name);
            if text.contains(&escaped) { text.replace(&escaped, &format!("$${escaped}")).into() } else { text }
        });
        expand(&text, |name| self.literal(name).map(Cow::Borrowed))
    }

    /// Expands a `subPathExpr`; unlike elsewhere each variable must have a value (`ExpandContainerVolumeMounts`).
    pub(crate) fn expand_sub_path(&self, text: &str) -> Result<String, String> {
        let mut missing = BTreeSet::new();
        let path = expand(text, |name| {
            let value = self.literal(name).unwrap_or_default();
            if !value.is_empty() {
                return Some(Cow::Borrowed(value));
            }
            if self.address(name).is_none() {
                missing.insert(name.to_owned());
            }
            None
        });
        if !missing.is_empty() {
            return Err(format!("missing value for {}", Vec::from_iter(missing).join(", ")));
        }
        // Looked for in the result, because another variable's value may have brought it.
        let open = self.own.iter().find(|variable| {
            matches!(variable.value, Value::Provider(_)) && path.contains(&format!("$({})", variable.name))
        });
        match open {
            Some(variable) => Err(format!(
                "subPathExpr {text:?} needs the value of {}, the pod's address, which only the provider knows",
                variable.name
            )),
            None => Ok(path),
        }
    }

    /// The variables without those of services.
    pub(crate) fn own(&self) -> Arc<[Variable]> {
        self.own.as_slice().into()
    }

    /// The `env` of the resolved container.
    pub(crate) fn into_env(self) -> Vec<EnvVar> {
        let services = self.services.iter().filter(|(name, _)| !self.places.contains_key(name.as_str()));
        let services: Vec<_> = services.map(|(name, value)| literal(name.clone(), value.clone())).collect();
        let own = self.own.into_iter().map(|variable| match variable.value {
            Value::Literal(value) => literal(variable.name.into(), value.into()),
            Value::Provider(address) => to_fill(variable.name.into(), address),
        });
        own.chain(services).collect()
    }

    fn literal(&self, name: &str) -> Option<&str> {
        match self.own_value(name) {
            Some(Value::Literal(value)) => Some(value),
            Some(Value::Provider(_)) => None,
            None => self.services.get(name).map(String::as_str),
        }
    }

    fn address(&self, name: &str) -> Option<PodAddress> {
        match self.own_value(name) {
            Some(Value::Provider(address)) => Some(*address),
            _ => None,
        }
    }

    fn own_value(&self, name: &str) -> Option<&Value> {
        self.places.get(name).and_then(|place| self.own.get(*place)).map(|variable| &variable.value)
    }

    fn set(&mut self, name: &str, value: Value) {
        match self.places.get(name).and_then(|place| self.own.get_mut(*place)) {
            Some(variable) => variable.value = value,
            None => {
                self.places.insert(name.into(), self.own.len());
                self.own.push(Variable { name: name.into(), value });
            }
        }
    }

    /// One `envFrom` entry.
    fn add_all(&mut self, scope: Scope<'_>, source: &EnvFromSource) -> Result<(), Obstacle> {
        let Some(reference) = of_env_from(source, namespace(scope.pod)) else {
            return Ok(());
        };
        let optional = match (&source.config_map_ref, &source.secret_ref) {
            (Some(map), _) => map.optional,
            (None, secret) => secret.as_ref().and_then(|secret| secret.optional),
        };
        let Some(object) = require(scope.context.object, &reference, optional)? else {
            return Ok(());
        };
        let prefix = source.prefix.as_deref().unwrap_or_default();
        for (key, bytes) in object.variables() {
            let value = text(&reference, key, bytes)?;
            self.set(&format!("{prefix}{key}"), Value::Literal(value.into()));
        }
        Ok(())
    }

    /// The value of one `env` entry; None for one that is left out because its source is optional and missing.
    fn value(
        &self,
        scope: Scope<'_>,
        container: &ContainerView<'_>,
        variable: &EnvVar,
    ) -> Result<Option<Value>, Obstacle> {
        let value = variable.value.as_deref().unwrap_or_default();
        let Some(source) = variable.value_from.as_ref().filter(|_| value.is_empty()) else {
            return Ok(Some(Value::Literal(self.expand(value).into())));
        };
        let context = scope.context;
        if let Some(field) = &source.field_ref {
            return match downward::environment_field(scope.pod, field, context.node_name, context.host_ips)? {
                Field::Value(value) => Ok(Some(Value::Literal(value.into()))),
                Field::Provider(address) => Ok(Some(Value::Provider(address))),
            };
        }
        if let Some(field) = &source.resource_field_ref {
            let value = resource::in_environment(scope.spec, container, field, context.allocatable)?;
            return Ok(Some(Value::Literal(value.into())));
        }
        if let Some(reference) = of_env(variable, namespace(scope.pod)) {
            let value = key_value(scope, &reference, source)?;
            return Ok(value.map(|value| Value::Literal(value.into())));
        }
        match &source.file_key_ref {
            Some(file) => Err(Obstacle::Message(format!(
                "pluglet cannot read files of a container's volume: fileKeyRef to {:?} in volume {:?}",
                file.path, file.volume_name
            ))),
            None => Ok(Some(Value::Literal("".into()))),
        }
    }
}

/// The value of a `configMapKeyRef` or `secretKeyRef`.
fn key_value(scope: Scope<'_>, reference: &ObjectRef, source: &EnvVarSource) -> Result<Option<String>, Obstacle> {
    let (key, optional) = match (&source.config_map_key_ref, &source.secret_key_ref) {
        (Some(selector), _) => (&selector.key, selector.optional),
        (None, Some(selector)) => (&selector.key, selector.optional),
        (None, None) => return Ok(None),
    };
    let Some(object) = require(scope.context.object, reference, optional)? else {
        return Ok(None);
    };
    match object.variable(key) {
        Some(bytes) => text(reference, key, bytes).map(|value| Some(value.to_owned())),
        None if optional == Some(true) => Ok(None),
        None => Err(Obstacle::Message(format!("couldn't find key {key} in {reference}"))),
    }
}

/// Secrets may hold any bytes, but neither a pod nor the CRI can carry a value that is no text.
fn text<'b>(reference: &ObjectRef, key: &str, bytes: &'b [u8]) -> Result<&'b str, Obstacle> {
    std::str::from_utf8(bytes)
        .map_err(|_invalid| Obstacle::Message(format!("the value of key {key} in {reference} is not valid UTF-8")))
}

fn literal(name: String, value: String) -> EnvVar {
    EnvVar { name, value: Some(value), value_from: None }
}

fn to_fill(name: String, address: PodAddress) -> EnvVar {
    let field = ObjectFieldSelector { api_version: Some("v1".to_owned()), field_path: address.field_path().to_owned() };
    let source = EnvVarSource { field_ref: Some(field), ..EnvVarSource::default() };
    EnvVar { name, value: None, value_from: Some(source) }
}

#[cfg(test)]
mod tests;
