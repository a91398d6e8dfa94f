//! What does a test look like that runs under many seeds? A test function of the same name, with the user's function inside.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{FnArg, ItemFn, ReturnType};

use crate::arguments::{Arguments, Faults};

/// The test that a function becomes.
///
/// # Errors
/// It is no function over a simulation.
pub(crate) fn expand(arguments: &Arguments, function: &ItemFn) -> syn::Result<TokenStream> {
    judge(function)?;
    let ItemFn { attrs, vis, sig, block, .. } = function;
    let (name, inputs, output) = (&sig.ident, &sig.inputs, &sig.output);
    let replicas = arguments.replicas.iter();
    let seeds = arguments.seeds.iter();
    let faults = arguments.faults.map(|faults| match faults {
        Faults::None => quote!(None),
        Faults::Network => quote!(Network),
        Faults::All => quote!(All),
    });
    let faults = faults.iter();
    let start = match &arguments.start {
        Some(start) => quote!(#start),
        None => quote!(::core::default::Default::default),
    };
    Ok(quote! {
        #(#attrs)*
        #[test]
        #vis fn #name() {
            fn #name(#inputs) #output #block
            #[allow(unused_mut)]
            let mut test = ::quorate::lab::AttackTest::new(
                ::core::concat!(::core::module_path!(), "::", ::core::stringify!(#name)),
                ::core::env!("CARGO_MANIFEST_DIR"),
            );
            #(test.replicas = #replicas;)*
            #(test.seeds = #seeds;)*
            #(test.faults = ::quorate::lab::Faults::#faults;)*
            test.run(#start, #name);
        }
    })
}

const SHAPE: &str = "an attack test is a function `fn name(sim: &mut Sim<YourStateMachine>) -> SimResult`";

fn judge(function: &ItemFn) -> syn::Result<()> {
    let sig = &function.sig;
    let fail = |tokens: &dyn quote::ToTokens, why: &str| {
        Err(syn::Error::new_spanned(tokens, format!("{why}; {SHAPE}")))
    };
    if let Some(asyncness) = &sig.asyncness {
        return fail(asyncness, "nothing is awaited in a simulation");
    }
    if !sig.generics.params.is_empty() {
        return fail(&sig.generics, "it tests one state machine");
    }
    if sig.inputs.len() != 1 || !matches!(sig.inputs.first(), Some(FnArg::Typed(_))) {
        return fail(sig, "it takes the simulation and nothing else");
    }
    if matches!(sig.output, ReturnType::Default) {
        return fail(sig, "it gives what it found");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(function: &str) -> Result<String, String> {
        let function = syn::parse_str(function).expect("a function");
        let tokens = expand(&Arguments::default(), &function).map_err(|error| error.to_string())?;
        Ok(tokens.to_string())
    }

    #[test]
    fn other_attributes_go_to_the_test() {
        let test =
            expanded("#[should_panic] fn it(sim: &mut Sim<Ledger>) -> SimResult { Ok(()) }").expect("a test");
        let (before, inside) = test.split_once("fn it ()").expect("a test without arguments");
        assert!(before.contains("should_panic") && before.contains("test"), "{before}");
        assert!(!inside.contains("should_panic"), "{inside}");
    }

    #[test]
    fn what_is_no_attack_test_is_told_so() {
        for (wrong, why) in [
            ("fn it() -> SimResult { Ok(()) }", "it takes the simulation"),
            ("fn it(sim: &mut Sim, other: u8) -> SimResult { Ok(()) }", "it takes the simulation"),
            ("fn it(&self) -> SimResult { Ok(()) }", "it takes the simulation"),
            ("fn it(sim: &mut Sim) {}", "it gives what it found"),
            ("async fn it(sim: &mut Sim) -> SimResult { Ok(()) }", "nothing is awaited"),
            ("fn it<S>(sim: &mut Sim<S>) -> SimResult { Ok(()) }", "one state machine"),
        ] {
            let error = expanded(wrong).expect_err(wrong);
            assert!(error.contains(why) && error.contains("fn name(sim: &mut Sim"), "{wrong}: {error}");
        }
    }
}
