//! How is an attack written down? As a line of text that says all of it: on a command line, in a
//! saved plan, over a control socket.
//!
//! ```text
//! equivocate-proposals@views=3..6,toward=1+2,probability=0.3
//! silent&lie-to-clients            both
//! delay@views=0..3>silent          the one, then the other; `&` binds closer than `>`
//! ```

use quorate_types::ReplicaId;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeSet;
use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use crate::adversary::{Adversary, Needs};
use crate::combinators::{And, During, Probability, Then, Times, Toward, Views, WithProbability};
use crate::nearest::nearest;
use crate::{Attack, UnknownAttack};

/// Most bytes of a [`Spec`]'s text.
pub const SPEC_BYTES_MAX: usize = 1024;
/// Most attacks in one [`Spec`].
pub const SPEC_PARTS_MAX: usize = 16;

/// Attacks with their limits, one after the other and at once, as text and as data.
///
/// Its text form is read by [`FromStr`], written by `Display`, and stands for it in serialised
/// data. Reading what was written gives the same again.
///
/// ```
/// use quorate_attack::{Attack, Spec};
///
/// let spec: Spec = "equivocate-proposals@views=3..6,toward=1+2,probability=0.3".parse()?;
/// assert_eq!(spec.phases()[0][0].attack, Attack::EquivocateProposals);
/// assert_eq!(spec.to_string(), "equivocate-proposals@views=3..6,toward=1+2,probability=0.3");
///
/// let error = "silent & equivocate-votes@view=3..".parse::<Spec>().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "in `equivocate-votes@view=3..`: there is no parameter `view`; did you mean `views`?"
/// );
/// # Ok::<(), quorate_attack::SpecError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Spec {
    /// Neither it nor one of them is empty.
    phases: Vec<Vec<Part>>,
}

/// One attack of a [`Spec`] and its limits; see [`crate::Combine`] for their meaning.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Part {
    /// The attack.
    pub attack: Attack,
    /// Only in these views: `views=3..6`, or `views=3..`.
    pub views: Option<Views>,
    /// Only toward these replicas, which may not be none: `toward=1+2`.
    pub toward: Option<BTreeSet<ReplicaId>>,
    /// Only this share of the messages: `probability=0.3`.
    pub probability: Option<Probability>,
    /// Only this often: `times=5`.
    pub times: Option<NonZeroU64>,
}

const PARAMETERS: [&str; 4] = ["views", "toward", "probability", "times"];

impl Spec {
    /// The attacks of one phase after the other; those of one phase are made at once.
    ///
    /// # Errors
    /// [`SpecError`] if there are no phases, one of them has no attack, there are more than
    /// [`SPEC_PARTS_MAX`] attacks, an attack is toward nobody, or the text would be longer than
    /// [`SPEC_BYTES_MAX`].
    pub fn new(phases: Vec<Vec<Part>>) -> Result<Self, SpecError> {
        let spec = Self { phases };
        let fail = |problem| Err(SpecError::new(&spec.to_string(), problem));
        if spec.phases.is_empty() || spec.phases.iter().any(Vec::is_empty) {
            return fail(Problem::Empty);
        }
        if spec.parts().count() > SPEC_PARTS_MAX {
            return fail(Problem::TooMany);
        }
        if let Some(part) = spec.parts().find(|part| part.toward.as_ref().is_some_and(BTreeSet::is_empty)) {
            return Err(SpecError::new(
                &part.to_string(),
                Problem::value("toward", "", "it names no replica"),
            ));
        }
        if spec.to_string().len() > SPEC_BYTES_MAX { fail(Problem::TooLong) } else { Ok(spec) }
    }

    /// The phases in their order, each with the attacks that it makes at once.
    #[must_use]
    pub fn phases(&self) -> &[Vec<Part>] {
        &self.phases
    }
    /// All attacks.
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        self.phases.iter().flatten()
    }
    /// The name of the first attack, which is the one of the adversary when it begins.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.phases[0][0].attack.name()
    }
    /// What it needs of whoever runs it.
    #[must_use]
    pub fn needs(&self) -> Needs {
        self.parts().fold(Needs::OWN_KEY, |needs, part| needs.union(part.attack.needs()))
    }
    /// Whether all of it needs the replica to be primary.
    #[must_use]
    pub fn is_primary_attack(&self) -> bool {
        self.parts().all(|part| part.attack.is_primary_attack())
    }
    /// The adversary.
    #[must_use]
    pub fn build(&self) -> Box<dyn Adversary> {
        let both = |first, second| Box::new(And::new(first, second)) as Box<dyn Adversary>;
        let then = |first, second| Box::new(Then::new(first, second)) as Box<dyn Adversary>;
        let phase = |parts: &Vec<Part>| parts.iter().map(Part::build).reduce(both).expect("not empty");
        // From the end, so that each phase begins when the one before it ends.
        let phases = self.phases.iter().rev().map(phase);
        phases.reduce(|later, earlier| then(earlier, later)).expect("not empty")
    }
}

impl Part {
    /// An attack without limits.
    #[must_use]
    pub const fn new(attack: Attack) -> Self {
        Self { attack, views: None, toward: None, probability: None, times: None }
    }

    /// The adversary.
    #[must_use]
    pub fn build(&self) -> Box<dyn Adversary> {
        let mut adversary = self.attack.build();
        if let Some(replicas) = &self.toward {
            adversary = Box::new(Toward::new(adversary, replicas.clone()));
        }
        if let Some(probability) = self.probability {
            adversary = Box::new(WithProbability::new(adversary, probability));
        }
        if let Some(count) = self.times {
            adversary = Box::new(Times::new(adversary, count));
        }
        if let Some(views) = self.views {
            adversary = Box::new(During::new(adversary, views));
        }
        adversary
    }

    fn read(text: &str) -> Result<Self, Problem> {
        let (name, parameters) = text.split_once('@').unwrap_or((text, ""));
        if name.is_empty() {
            return Err(Problem::Empty);
        }
        let attack = name.trim_end().parse().map_err(Problem::Attack)?;
        let mut part = Self::new(attack);
        if !text.contains('@') {
            return Ok(part);
        }
        for parameter in parameters.split(',') {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            part.set(name.trim(), value.trim())?;
        }
        Ok(part)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), Problem> {
        let is_repeated = match name {
            "views" => self.views.replace(read_value(name, value)?).is_some(),
            "toward" => self.toward.replace(read_replicas(value)?).is_some(),
            "probability" => self.probability.replace(read_value(name, value)?).is_some(),
            "times" => self.times.replace(read_value(name, value)?).is_some(),
            _ => return Err(Problem::Parameter(name.to_owned())),
        };
        if is_repeated { Err(Problem::value(name, value, "it is given twice")) } else { Ok(()) }
    }
}

fn read_value<T: FromStr<Err: fmt::Display>>(name: &str, value: &str) -> Result<T, Problem> {
    value.parse().map_err(|error: T::Err| Problem::value(name, value, &error.to_string()))
}

fn read_replicas(value: &str) -> Result<BTreeSet<ReplicaId>, Problem> {
    let number = |text: &str| text.trim().parse().map(ReplicaId);
    let replicas: Result<_, _> = value.split('+').map(number).collect();
    replicas.map_err(|_| Problem::value("toward", value, "replicas are written `1+2`"))
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, phase) in self.phases.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { ">" })?;
            write_joined(f, phase, "&")?;
        }
        Ok(())
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.attack)?;
        let mut sign = '@';
        let mut begin =
            |f: &mut fmt::Formatter<'_>, name| write!(f, "{}{name}=", std::mem::replace(&mut sign, ','));
        if let Some(views) = &self.views {
            begin(f, "views")?;
            write!(f, "{views}")?;
        }
        if let Some(replicas) = &self.toward {
            begin(f, "toward")?;
            write_joined(f, replicas.iter().map(|replica| replica.0), "+")?;
        }
        if let Some(probability) = &self.probability {
            begin(f, "probability")?;
            write!(f, "{probability}")?;
        }
        if let Some(times) = &self.times {
            begin(f, "times")?;
            write!(f, "{times}")?;
        }
        Ok(())
    }
}

fn write_joined(
    f: &mut fmt::Formatter<'_>,
    items: impl IntoIterator<Item: fmt::Display>,
    separator: &str,
) -> fmt::Result {
    for (index, item) in items.into_iter().enumerate() {
        write!(f, "{}{item}", if index == 0 { "" } else { separator })?;
    }
    Ok(())
}

impl FromStr for Spec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        if text.len() > SPEC_BYTES_MAX {
            return Err(SpecError::new(text, Problem::TooLong));
        }
        let part = |text: &str| Part::read(text.trim()).map_err(|problem| SpecError::new(text, problem));
        let phase = |text: &str| text.split('&').map(part).collect::<Result<_, _>>();
        Self::new(text.split('>').map(phase).collect::<Result<_, _>>()?)
    }
}

impl From<Part> for Spec {
    fn from(part: Part) -> Self {
        Self { phases: vec![vec![part]] }
    }
}

impl From<Attack> for Spec {
    fn from(attack: Attack) -> Self {
        Part::new(attack).into()
    }
}

impl From<Spec> for Box<dyn Adversary> {
    fn from(spec: Spec) -> Self {
        spec.build()
    }
}

impl Serialize for Spec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Spec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'_, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Why a text is no attack, and which part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecError {
    part: String,
    problem: Problem,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Problem {
    Empty,
    TooLong,
    TooMany,
    Attack(UnknownAttack),
    Parameter(String),
    Value { name: String, value: String, why: String },
}

impl Problem {
    fn value(name: &str, value: &str, why: &str) -> Self {
        Self::Value { name: name.to_owned(), value: value.to_owned(), why: why.to_owned() }
    }
}

/// Most characters of the wrong part that an error shows.
const SHOWN_MAX: usize = 80;

impl SpecError {
    fn new(part: &str, problem: Problem) -> Self {
        Self { part: part.trim().chars().take(SHOWN_MAX).collect(), problem }
    }
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "in `{}`: ", self.part)?;
        match &self.problem {
            Problem::Empty => f.write_str("an attack is missing"),
            Problem::TooLong => write!(f, "an attack is at most {SPEC_BYTES_MAX} bytes long"),
            Problem::TooMany => write!(f, "at most {SPEC_PARTS_MAX} attacks are combined"),
            Problem::Attack(unknown) => unknown.fmt(f),
            Problem::Parameter(name) => {
                write!(f, "there is no parameter `{name}`; ")?;
                match nearest(name, PARAMETERS) {
                    Some(known) => write!(f, "did you mean `{known}`?"),
                    None => write!(f, "choose one of {}", PARAMETERS.join(", ")),
                }
            }
            Problem::Value { name, value, why } => write!(f, "`{name}={value}` is wrong: {why}"),
        }
    }
}

impl std::error::Error for SpecError {}
