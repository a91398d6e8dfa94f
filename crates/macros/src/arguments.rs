//! What may stand in the brackets of `#[attack_test(..)]`, and what is said of what may not?

use std::collections::BTreeSet;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Expr, ExprRange, Ident, Lit, RangeLimits, Token};

/// The arguments; what is not given has the default of `quorate::lab::AttackTest`.
#[derive(Default)]
pub(crate) struct Arguments {
    pub(crate) replicas: Option<Expr>,
    pub(crate) seeds: Option<Expr>,
    pub(crate) start: Option<Expr>,
    pub(crate) faults: Option<Faults>,
}

/// What goes wrong by itself.
#[derive(Clone, Copy)]
pub(crate) enum Faults {
    None,
    Network,
    All,
}

const NAMES: &str = "the arguments are `replicas`, `seeds`, `start` and `faults`";

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut arguments = Self::default();
        let mut seen = BTreeSet::new();
        for Argument { name, value } in Punctuated::<Argument, Token![,]>::parse_terminated(input)? {
            if !seen.insert(name.to_string()) {
                return Err(syn::Error::new(name.span(), format!("`{name}` is given twice")));
            }
            arguments.take(&name, value)?;
        }
        Ok(arguments)
    }
}

impl Arguments {
    fn take(&mut self, name: &Ident, value: Expr) -> syn::Result<()> {
        match name.to_string().as_str() {
            "replicas" => self.replicas = Some(judged_replicas(value)?),
            "seeds" => self.seeds = Some(judged_seeds(value)?),
            "start" => self.start = Some(value),
            "faults" => self.faults = Some(read_faults(&value)?),
            _ => return Err(syn::Error::new(name.span(), format!("there is no argument `{name}`; {NAMES}"))),
        }
        Ok(())
    }
}

/// `name = value`.
struct Argument {
    name: Ident,
    value: Expr,
}

impl Parse for Argument {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let name: Ident = input
            .parse()
            .map_err(|error| syn::Error::new(error.span(), format!("expected `name = value`; {NAMES}")))?;
        if !input.peek(Token![=]) {
            return Err(syn::Error::new(name.span(), format!("`{name}` needs a value: `{name} = ..`")));
        }
        input.parse::<Token![=]>()?;
        Ok(Self { name, value: input.parse()? })
    }
}

/// A number is judged here; anything else when the test runs.
fn judged_replicas(value: Expr) -> syn::Result<Expr> {
    if let Expr::Lit(literal) = &value {
        let number =
            if let Lit::Int(number) = &literal.lit { number.base10_parse::<u16>().ok() } else { None };
        if !number.is_some_and(|number| (4..=128).contains(&number)) {
            let why = "a cluster has 4 to 128 replicas; 3f + 1 of them survive f traitors";
            return Err(syn::Error::new_spanned(&value, why));
        }
    }
    Ok(value)
}

fn judged_seeds(value: Expr) -> syn::Result<Expr> {
    match &value {
        Expr::Range(ExprRange { start: Some(_), end: Some(_), limits: RangeLimits::HalfOpen(_), .. }) => {
            Ok(value)
        }
        Expr::Range(_) | Expr::Lit(_) => Err(syn::Error::new_spanned(
            &value,
            "seeds are written `0..256`, from the first to before the last",
        )),
        _ => Ok(value),
    }
}

fn read_faults(value: &Expr) -> syn::Result<Faults> {
    let text = match value {
        Expr::Lit(literal) => {
            if let Lit::Str(text) = &literal.lit {
                Some(text.value())
            } else {
                None
            }
        }
        _ => None,
    };
    match text.as_deref() {
        Some("none") => Ok(Faults::None),
        Some("network") => Ok(Faults::Network),
        Some("all") => Ok(Faults::All),
        _ => Err(syn::Error::new_spanned(value, "faults are \"none\", \"network\" or \"all\"")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(arguments: &str) -> String {
        match syn::parse_str::<Arguments>(arguments) {
            Ok(_) => "none".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_is_right_is_taken() {
        let all = "replicas = 7, seeds = 0..9, start = Ledger::funded, faults = \"all\",";
        for right in ["", all, "replicas = N", "seeds = SEEDS", "start = || Ledger::with(5)"] {
            assert_eq!(error(right), "none", "{right}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (wrong, why) in [
            (
                "seed = 0..4",
                "no argument `seed`; the arguments are `replicas`, `seeds`, `start` and `faults`",
            ),
            ("replicas = 3", "4 to 128 replicas"),
            ("replicas = 129", "4 to 128 replicas"),
            ("replicas = \"4\"", "4 to 128 replicas"),
            ("replicas = 4, replicas = 4", "`replicas` is given twice"),
            ("replicas", "`replicas` needs a value"),
            ("4", "expected `name = value`"),
            ("seeds = 256", "seeds are written `0..256`"),
            ("seeds = 0..=255", "seeds are written `0..256`"),
            ("seeds = 5..", "seeds are written `0..256`"),
            ("faults = \"some\"", "\"none\", \"network\" or \"all\""),
            ("faults = all", "\"none\", \"network\" or \"all\""),
        ] {
            assert!(error(wrong).contains(why), "{wrong}: {}", error(wrong));
        }
    }
}
