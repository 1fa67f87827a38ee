//! `pluglet provider check`: what a provider could do, without starting it.
//!
//! In: a component that was looked at, a [`Config`] without mistakes. Out: text, and what keeps the provider from starting. Invariant: what is
//! shown is computed by the same functions as what is enforced; of a credential only its kind is shown.

use std::fmt::Write;

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use pluglet_credentials::Auth;
use pluglet_egress::{Grant, Missing, Need, Right, Rights, intersect};
use pluglet_wasm::Limits;

use super::show::clean;
use super::{Error, Found, paths};
use crate::config::quantity::{show_duration, show_size};
use crate::config::{Config, nearest};

/// What came out.
pub(crate) struct Checked {
    /// For people.
    pub text: String,
    /// Why the provider would not start.
    pub failure: Option<Error>,
}

/// Compares what the provider asks for with what it is given.
pub(crate) fn check(found: &Found, config: &Config) -> Checked {
    let manifest = found.inspection.manifest.as_ref();
    let needs = manifest.map(|manifest| manifest.endpoints.as_slice()).unwrap_or_default();
    let (rights, missing) = match intersect(needs, &config.grants) {
        Ok(rights) => (rights, vec![]),
        // What is there is shown all the same.
        Err(missing) => {
            let lacks = |need: &&Need| missing.iter().any(|missing| missing.endpoint == need.name);
            let others: Vec<Need> = needs.iter().filter(|need| !lacks(need)).cloned().collect();
            let mut rights = intersect(&others, &config.grants).unwrap_or_default();
            rights.unasked.retain(|name| !needs.iter().any(|need| need.name == *name));
            (rights, missing)
        }
    };
    let mut text = head(found, config);
    if rights.rights.is_empty() {
        text.push_str("\nIt can reach nothing.\n");
    } else {
        write!(text, "\n{}\n", table(&rights)).ok();
    }
    write!(text, "\n{}\n", limits(&config.limits)).ok();
    let missing: Vec<Missing> =
        missing.into_iter().map(|missing| Missing { why: clean(&missing.why), ..missing }).collect();
    let warnings = warnings(needs, &rights, config, &missing);
    if !warnings.is_empty() {
        write!(text, "\n{}", warnings.iter().map(|warning| format!("warning: {warning}\n")).collect::<String>()).ok();
    }
    Checked { text, failure: (!missing.is_empty()).then_some(Error::Missing(missing)) }
}

fn head(found: &Found, config: &Config) -> String {
    let manifest = found.inspection.manifest.as_ref();
    let version = manifest.map(|manifest| clean(&manifest.version)).unwrap_or_default();
    let schema = manifest.is_some_and(|manifest| manifest.config_schema.is_some());
    let section = match (schema, config.config_json == "{}") {
        (true, _) => "fits the provider's schema",
        (false, true) => "none, and the provider has no schema",
        (false, false) => "handed over unchecked: the provider has no schema",
    };
    let mut text = String::new();
    writeln!(text, "provider:  {} {version} ({})", found.name, found.path.display()).ok();
    writeln!(text, "contract:  pluglet:provider {}", found.inspection.contract).ok();
    writeln!(text, "config:    {section}").ok();
    text
}

fn table(rights: &Rights) -> String {
    let mut table = Table::new();
    let header = ["ENDPOINT", "TARGET", "METHODS", "PATHS", "ALSO", "CREDENTIAL", "PRIVATE", "LIMITS"];
    table.load_style(NOTHING).set_header(header);
    for right in &rights.rights {
        table.add_row([
            right.name.clone(),
            target(&right.grant),
            methods(right),
            paths(right),
            also(right),
            credential(&right.grant),
            if right.grant.private_addresses { "yes" } else { "no" }.to_owned(),
            endpoint_limits(&right.grant),
        ]);
    }
    trimmed(&table)
}

/// Without the blanks that fill up the last column.
fn trimmed(table: &Table) -> String {
    table.to_string().lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

fn target(grant: &Grant) -> String {
    let mut lines = vec![grant.target.to_string()];
    if let Some(file) = &grant.tls.ca_file {
        let also = if grant.tls.system_roots { "also trusts" } else { "trusts only" };
        lines.push(format!("{also} {}", file.display()));
    }
    if let Some(name) = &grant.server_name {
        lines.push(format!("certificate for {name}"));
    }
    lines.join("\n")
}

fn methods(right: &Right) -> String {
    match &right.methods {
        None => "any".to_owned(),
        Some(methods) if methods.is_empty() => "none".to_owned(),
        Some(methods) => methods.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
    }
}

fn paths(right: &Right) -> String {
    match paths::effective(&right.patterns, &right.grant.path_prefixes) {
        None => "none".to_owned(),
        Some(paths) if paths.is_empty() => "any".to_owned(),
        Some(paths) => paths.join("\n"),
    }
}

fn also(right: &Right) -> String {
    let words: Vec<&str> = [(right.websocket, "websocket"), (right.upgrade, "upgrade")]
        .into_iter()
        .filter_map(|(allowed, word)| allowed.then_some(word))
        .collect();
    if words.is_empty() { "-".to_owned() } else { words.join("\n") }
}

/// The kind, as it is written in the file; never what is in it.
fn credential(grant: &Grant) -> String {
    let kind = grant.auth.as_ref().map(|auth| match auth {
        Auth::Bearer { .. } => "bearer",
        Auth::Basic { .. } => "basic",
        Auth::Header { .. } => "header",
        Auth::OAuth2(_) => "oauth2",
        Auth::AzureClientSecret(_) => "azureClientSecret",
        Auth::AzureClientCertificate(_) => "azureClientCertificate",
        Auth::AzureWorkloadIdentity(_) => "azureWorkloadIdentity",
        Auth::AzureManagedIdentity(_) => "azureManagedIdentity",
        Auth::AwsSigV4(_) => "awsSigV4",
    });
    let certificate = grant.tls.client_certificate.is_some().then_some("client certificate");
    let words: Vec<&str> = kind.into_iter().chain(certificate).collect();
    if words.is_empty() { "none".to_owned() } else { words.join("\n") }
}

fn endpoint_limits(grant: &Grant) -> String {
    let limits = &grant.limits;
    let rate = limits.requests_per_second.map(|rate| format!(", {rate} a second")).unwrap_or_default();
    format!(
        "{} a request, idle {}\n{} at once{rate}\nrequest {}, answer {}, stream {}",
        show_duration(limits.timeout),
        show_duration(limits.idle_timeout),
        limits.concurrency,
        show_size(limits.max_request_bytes),
        show_size(limits.max_response_bytes as u64),
        show_size(limits.max_stream_bytes),
    )
}

/// All limits under the names that they have in the file; a default that was moved stands beside.
fn limits(limits: &Limits) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(["LIMIT", "VALUE", ""]);
    for ((name, value), (_, default)) in named(limits).into_iter().zip(named(&Limits::default())) {
        let note = if value == default { String::new() } else { format!("default {default}") };
        table.add_row([name.to_owned(), value, note]);
    }
    trimmed(&table)
}

fn named(limits: &Limits) -> [(&'static str, String); 20] {
    let size = |bytes: usize| show_size(bytes as u64);
    [
        ("memory", size(limits.memory_bytes)),
        ("tableElements", limits.table_elements.to_string()),
        ("instances", limits.instances.to_string()),
        ("hostcallBytes", size(limits.hostcall_bytes)),
        ("handles", limits.handles.to_string()),
        ("concurrency", limits.concurrency.to_string()),
        ("requests", limits.outbound.requests.to_string()),
        ("waitingRequests", limits.outbound.waiting.to_string()),
        ("streams", limits.outbound.streams.to_string()),
        ("bodyBytes", size(limits.outbound.body_bytes)),
        ("logRate", format!("{} a second", limits.log_lines_per_second)),
        ("logLine", size(limits.log_line_bytes)),
        ("events", format!("{} a minute for each pod", limits.events_per_minute)),
        ("kv", size(limits.kv_bytes)),
        ("cpu", format!("{}m", limits.cpu_millicores)),
        ("cpuStall", show_duration(limits.cpu_stall)),
        ("start", show_duration(limits.start)),
        ("compileTime", show_duration(limits.compile)),
        ("compileMemory", show_size(limits.compile_memory_bytes)),
        ("componentSize", show_size(limits.component_bytes)),
    ]
}

fn warnings(needs: &[Need], rights: &Rights, config: &Config, missing: &[Missing]) -> Vec<String> {
    let mut warnings = vec![];
    for name in &rights.unasked {
        let ungranted =
            missing.iter().map(|missing| &missing.endpoint).chain(rights.optional.iter().map(|need| &need.name));
        let meant = nearest(name, ungranted.map(String::as_str));
        let meant = meant.map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default();
        warnings.push(format!(
            "endpoint {name} is granted, and the provider never asks for it: the grant has no effect{meant}"
        ));
    }
    for need in &rights.optional {
        let why = if need.why.is_empty() { String::new() } else { format!(" ({})", clean(&need.why)) };
        warnings.push(format!("endpoint {}{why} is optional and not granted: the provider does without", need.name));
    }
    for right in &rights.rights {
        let Some(need) = needs.iter().find(|need| need.name == right.name) else { continue };
        let grant = config.grants.get(&right.name).unwrap_or(&right.grant);
        let mut vain: Vec<String> = vec![];
        if !need.methods.is_empty() {
            let unasked = |method: &&http::Method| !need.methods.iter().any(|asked| asked == method.as_str());
            vain.extend(grant.methods.iter().flatten().filter(unasked).map(ToString::to_string));
        }
        vain.extend((grant.websocket && !need.websocket).then(|| "websocket".to_owned()));
        vain.extend((grant.upgrade && !need.upgrade).then(|| "upgrade".to_owned()));
        if !vain.is_empty() {
            warnings.push(format!("endpoint {}: {} granted and never asked for", right.name, vain.join(", ")));
        }
        if methods(right) == "none" || paths(right) == "none" {
            warnings.push(format!("endpoint {}: nothing is left of what the provider asks for", right.name));
        }
    }
    warnings
}

#[cfg(test)]
mod tests;
