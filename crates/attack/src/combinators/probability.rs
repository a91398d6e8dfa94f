//! How often? A share of messages that survives being written as text.

use std::fmt;
use std::str::FromStr;

/// A probability above 0 and at most 1, in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Probability(u32);

const ONE: u32 = 1_000_000;
const DIGITS: usize = 6;

impl Probability {
    /// The nearest number of millionths.
    ///
    /// # Errors
    /// [`ProbabilityError`] if that is 0, or `share` above 1 or no number.
    pub fn new(share: f64) -> Result<Self, ProbabilityError> {
        let millionths = (share * f64::from(ONE)).round();
        // What is no number is in no range.
        if share <= 1.0 && millionths >= 1.0 { Ok(Self(millionths as u32)) } else { Err(ProbabilityError) }
    }
    /// So many of a million.
    #[must_use]
    pub const fn millionths(self) -> u32 {
        self.0
    }
}

/// It is not above 0 and at most 1, with at most six digits behind the point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbabilityError;

impl fmt::Display for ProbabilityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a probability is above 0, at most 1, and has at most {DIGITS} digits behind the point")
    }
}

impl std::error::Error for ProbabilityError {}

impl fmt::Display for Probability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == ONE {
            return f.write_str("1");
        }
        write!(f, "0.{}", format!("{:0DIGITS$}", self.0).trim_end_matches('0'))
    }
}

impl FromStr for Probability {
    type Err = ProbabilityError;

    fn from_str(text: &str) -> Result<Self, ProbabilityError> {
        let (whole, digits) = text.split_once('.').unwrap_or((text, "0"));
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(whole) || !is_number(digits) || digits.len() > DIGITS {
            return Err(ProbabilityError);
        }
        let whole: u32 = whole.parse().map_err(|_| ProbabilityError)?;
        let part: u32 = format!("{digits:0<DIGITS$}").parse().map_err(|_| ProbabilityError)?;
        let millionths = whole.checked_mul(ONE).and_then(|whole| whole.checked_add(part));
        millionths.filter(|count| (1..=ONE).contains(count)).map(Self).ok_or(ProbabilityError)
    }
}
