//! The seeds of a test: one a world, and the one alone that a person asks for.

use std::env;

use crate::dice::Dice;

/// The variable of the environment that names one seed to run.
pub(crate) const SEED: &str = "UDM_SEED";
/// The variable of the environment that multiplies the number of worlds: the long form, for the night.
const ROUNDS: &str = "UDM_SIM_ROUNDS";
/// The variable that other worlds follow from.
const FROM: &str = "UDM_SIM_SEED";

/// The seeds of `count` worlds that follow from `first`, which is printed; or the one that `UDM_SEED` names, alone.
/// `UDM_SIM_ROUNDS=N` runs N times as many, and `UDM_SIM_SEED=N` others.
///
/// # Panics
/// When one of the variables holds no number.
pub fn seeds(first: u64, count: u64) -> impl Iterator<Item = u64> {
    let (only, rounds) = (number_of(SEED), number_of(ROUNDS).unwrap_or(1));
    let count = if only.is_some() { 1 } else { count * rounds };
    let first = only.unwrap_or_else(|| first ^ number_of(FROM).unwrap_or(0));
    println!("seed {first:#x}, and {} that follow from it; {SEED}=0x... runs one alone", count - 1);
    let mut dice = Dice::new(first);
    (0..count).map(move |number| if number == 0 { first } else { dice.word() })
}

fn number_of(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    let number = parse(&text);
    assert!(number.is_some(), "{variable} is {text:?}; it takes a number, decimal or behind 0x");
    number
}

fn parse(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn seeds_are_hexadecimal_or_decimal() {
        assert_eq!([parse("0x5eed"), parse("17"), parse("5eed")], [Some(0x5eed), Some(17), None]);
    }
}
