//! Bindings generated from `wit/`.
//!
//! In: the contract. Out: one module per interface and the macro that exports a component. Invariant: nobody edits them.

#![expect(missing_docs, reason = "generated from the contract, whose documentation is in wit/")]

wit_bindgen::generate!({
    path: "../wit",
    world: "provider",
    generate_all,
    pub_export_macro: true,
    export_macro_name: "export_component",
});
